"""Where settings come from: flags, then the environment, then a TOML file, then the defaults.

Every setting has one name: ``max_batch`` is ``--max-batch``, ``PREFIX_MAX_BATCH`` and, in the file, ``max_batch`` in
its section.
"""

from __future__ import annotations

import argparse
import inspect
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from exalign_engine.settings.names import UnknownVariable, renamed_problems, unknown_variables
from exalign_engine.settings.rules import ConfigError, Family, Problem, Rule, annotated_fields

Config = TypeVar("Config")

#: Types that a TOML file may give for each type of setting.
_FROM_TOML: dict[type, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    str: (str,),
    Path: (str,),
    bool: (bool,),
    tuple: (list,),
}

#: Types in words, to stand before a limit.
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of whole numbers"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: unique, in a schema whose names are not qualified.
        section: of the file; "" is its top.
        kind: int, float, bool, str, Path, or tuple for several whole numbers.
        rule: what it may be.
        default: None where it may be left unset.
        prefix: of its variable in the environment.
        qualified: whether the section is part of its name in messages.
        field: of the section's dataclass.
        member: its key in that field, if the field is a `Family`.
    """

    name: str
    section: str
    kind: type[Any]
    rule: Rule
    default: Any
    prefix: str
    qualified: bool
    field: str
    member: str | None = None

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.section}.{self.name}" if self.qualified and self.section else self.name

    @property
    def flag(self) -> str:
        """On the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def metavar(self) -> str:
        """What stands for its value in the help."""
        if self.rule.values:
            return "{" + ",".join(self.rule.values) + "}"
        if self.rule.pattern is not None:
            return self.rule.pattern[1].partition(" ")[0]
        if self.kind is Path:
            return "DIR" if "directory" in self.rule.help else "FILE"
        if self.kind is float:
            return "SECONDS" if "seconds" in self.rule.help else "X"
        return {int: "N", bool: "{true,false}", tuple: "N,..."}.get(self.kind, "TEXT")

    @property
    def variable(self) -> str:
        """In the environment."""
        return self.prefix + self.name.upper()

    @property
    def limit(self) -> str:
        """Type and limit in words, to follow "must be"."""
        # A test's words say the whole of it.
        kind = "" if self.rule.test is not None or self.rule.choices is not None else _KINDS.get(self.kind, "")
        return ", ".join(filter(None, (kind, self.rule.limit))) or "a text"

    def parse(self, text: str) -> Any:
        """From a flag or the environment.

        Raises:
            ValueError: it is not of the setting's type.
        """
        if self.kind is bool:
            if text not in ("true", "false"):
                raise ValueError
            return text == "true"
        return tuple(int(part) for part in text.split(",")) if self.kind is tuple else self.kind(text)

    def convert(self, value: Any) -> Any:
        """From TOML.

        Raises:
            ValueError: it is not of the setting's type.
        """
        if not isinstance(value, _FROM_TOML[self.kind]) or (isinstance(value, bool) and self.kind is not bool):
            raise ValueError
        if isinstance(value, list) and any(type(part) is not int for part in value):
            raise ValueError
        made: Any = self.kind(value)
        return made

    def of(self, section: Any) -> Any:
        """Its value in a section; None where it is not set."""
        value = getattr(section, self.field)
        return value if self.member is None else value.get(self.member)


@dataclass(frozen=True)
class Loaded(Generic[Config]):
    """A configuration and where each of its values is from, by label of the setting."""

    config: Config
    origins: Mapping[str, str]
    schema: Schema[Config]

    def to_toml(self) -> str:
        """The effective configuration as a TOML file, with the origin of each value in a comment."""
        lines = []
        for section in self.schema.sections:
            if section:
                lines += ["", f"[{section}]"]
            owner = getattr(self.config, section) if section else self.config
            for setting in self.schema.settings():
                if setting.section != section:
                    continue
                value = setting.of(owner)
                shown = f"{setting.name} = {_toml(value)}" if value is not None else f"# {setting.name} is not set"
                lines.append(f"{shown}  # {self.origins[setting.label]}: {setting.rule.help}")
        return "\n".join(lines) + "\n"


class Schema(Generic[Config]):
    """The settings of a configuration: a frozen dataclass whose fields are annotated with `Rule` or are sections.

    Args:
        root: the dataclass; fields that are dataclasses themselves are the sections of the file.
        prefix: of variables in the environment.
        qualified: names are unique in their section only, so that messages name it: ``section.name``. Such settings
            come from files alone.
        renamed: names that settings had before, with those that they have now: an error says so.
    """

    def __init__(
        self,
        root: type[Config],
        *,
        prefix: str = "",
        qualified: bool = False,
        renamed: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.root, self.prefix, self.qualified, self.renamed = root, prefix, qualified, renamed
        hints = get_type_hints(root)
        #: Dataclass of every section, by name; "" is the root.
        self.sections: dict[str, type[Any]] = {"": root}
        self.sections |= {f.name: hints[f.name] for f in _fields(root) if is_dataclass(hints[f.name])}

    def settings(self) -> tuple[Setting, ...]:
        """Every setting there is now."""
        found = []
        for section, owner in self.sections.items():
            defaults = {f.name: None if f.default is MISSING else f.default for f in _fields(owner)}
            for name, (hint, rule) in annotated_fields(owner).items():
                common = self.prefix, self.qualified
                if isinstance(rule, Family):
                    kind = _kind(get_args(hint)[1])
                    found += [Setting(n, section, kind, r, None, *common, name, key) for key, n, r in rule.members()]
                else:
                    found.append(Setting(name, section, _kind(hint), rule, defaults[name], *common, name))
        return tuple(found)

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """Give a parser ``--config`` and one flag for each setting, in the groups that are the sections of the file.

        Values stay text until `load` checks them. A flag that may be true or false is true where it stands alone.
        """
        parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
        groups: dict[str, argparse._ArgumentGroup] = {}
        for setting in self.settings():
            if setting.section not in groups:
                title = setting.section or "top"
                groups[setting.section] = parser.add_argument_group(f"{title} settings", _first_sentence(self, setting))
            unset = "" if setting.default is None else f" (default {setting.default})"
            text = f"{setting.rule.help}{unset}"
            alone: dict[str, Any] = {"nargs": "?", "const": "true"} if setting.kind is bool else {}
            groups[setting.section].add_argument(
                setting.flag, dest=setting.name, metavar=setting.metavar, help=text.replace("%", "%%"), **alone
            )
        for old in self.renamed:
            parser.add_argument("--" + old.replace("_", "-"), dest=old, help=argparse.SUPPRESS)

    def load(self, flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Loaded[Config]:
        """Put the configuration together.

        Args:
            flags: text by name of the setting, None where the flag was not given; other entries are ignored.
            environ: the process's environment. A variable that is one of ours misspelt is a mistake.
            file: TOML file, or None.

        Raises:
            ConfigError: one line for each mistake: setting, value, limit and where it is from.
        """
        try:
            table = read_toml(file) if file is not None else {}
        except OSError as e:
            raise ConfigError([Problem(("config",), f"config is {str(file)!r}, cannot be read: {e.strerror}")]) from e
        except ValueError as e:
            raise ConfigError([Problem(("config",), f"config is {str(file)!r}, must be TOML: {e}")]) from e
        return self.assemble(flags, environ, table, f"file {file}")

    def assemble(
        self, flags: Mapping[str, Any], environ: Mapping[str, str], table: Mapping[str, Any], file: str
    ) -> Loaded[Config]:
        """`load` with the file's contents, and what messages call it.

        Raises:
            ConfigError: see `load`.
        """
        problems = self._unknown(table, file) + renamed_problems(self.renamed, flags, environ, self.prefix)
        problems += [
            Problem(
                (unknown.name,), f"{unknown.name} is not a setting; the nearest is {unknown.nearest}", "environment"
            )
            for unknown in self.unknown_variables(environ)
            if unknown.misspelt
        ]
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for setting in self.settings():
            section = table.get(setting.section, {}) if setting.section else table
            in_file = section.get(setting.name) if isinstance(section, dict) else None
            origin, raw, read = _source(setting, flags, environ, in_file, file)
            origins[setting.label] = origin
            if read is None:
                continue
            try:
                raw = value = read(raw)
                if setting.rule.accepts(value):
                    values[setting.label] = value
                    continue
            except ValueError:
                pass
            text = f"{setting.label} is {raw!r}, must be {setting.limit}"
            problems.append(Problem((setting.label,), text, origin))
        if problems:
            raise ConfigError(problems)
        return Loaded(self._build(values, origins), origins, self)

    def unknown_variables(self, environ: Mapping[str, str]) -> list[UnknownVariable]:
        """See `exalign_engine.settings.names.unknown_variables`."""
        known = [setting.variable for setting in self.settings()]
        return unknown_variables(environ, self.prefix, known, {self.prefix + old.upper() for old in self.renamed})

    def _build(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> Config:
        """The configuration of values that are right one by one."""
        arguments: dict[str, dict[str, Any]] = {section: {} for section in self.sections}
        for setting in self.settings():
            if setting.label not in values:
                continue
            section = arguments[setting.section]
            if setting.member is None:
                section[setting.field] = values[setting.label]
            else:
                section.setdefault(setting.field, {})[setting.member] = values[setting.label]
        try:
            made = {name: owner(**arguments[name]) for name, owner in self.sections.items() if name}
            return self.root(**arguments[""], **made)
        except ConfigError as e:  # what does not fit together
            problems = [
                Problem(p.names, p.text, "; ".join(f"{name}: {origins.get(name, 'default')}" for name in p.names))
                for p in e.problems
            ]
            raise ConfigError(problems) from None

    def _unknown(self, table: Mapping[str, Any], file: str) -> list[Problem]:
        """Keys of a file that are no settings."""
        known = {(s.section, s.name) for s in self.settings()}
        problems = []
        for key, value in table.items():
            if key in self.sections and key:
                if not isinstance(value, dict):
                    unqualified = f"{key} is {value!r}, must be a section"
                    text = f"{key} must be a table, is {value!r}" if self.qualified else unqualified
                    problems.append(Problem((key,), text, file))
                    continue
                entries = [(key, name) for name in value]
            else:
                entries = [("", key)]
            problems += [self._is_unknown(*entry, file) for entry in entries if entry not in known]
        return problems

    def _is_unknown(self, section: str, name: str, file: str) -> Problem:
        if name in self.renamed:
            return Problem((name,), f"{name} is called {self.renamed[name]} now", file)
        if not self.qualified:
            where = f"[{section}] {name}" if section else name
            return Problem((name,), f"{where} is not a setting", file)
        label = f"{section}.{name}" if section else name
        names = [f.name for f in _fields(self.sections[section])]
        return Problem((label,), f"unknown key {label!r}; known: {', '.join(names)}", file)


def _first_sentence(schema: Schema[Any], setting: Setting) -> str | None:
    """What the section of a setting is about, in its own words; nothing of the top."""
    if not setting.section:
        return None
    return inspect.cleandoc(schema.sections[setting.section].__doc__ or "").partition("\n")[0]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not TOML, or no text.
    """
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _source(
    setting: Setting, flags: Mapping[str, Any], environ: Mapping[str, str], in_file: Any, file: str
) -> tuple[str, Any, Callable[[Any], Any] | None]:
    """Where a value is from, the value, and what reads it; None where the default holds."""
    flag, variable = flags.get(setting.name), environ.get(setting.variable)
    if flag is not None:
        return f"flag {setting.flag}", flag, setting.parse
    if variable is not None:
        return f"environment {setting.variable}", variable, setting.parse
    if in_file is not None:
        return file, in_file, setting.convert
    return "default", None, None


def _fields(owner: type[Any]) -> tuple[Field[Any], ...]:
    return fields(owner)


def _kind(hint: Any) -> type[Any]:
    """The type of a setting, as `Setting.kind` states it."""
    if isinstance(hint, UnionType):
        hint = next(t for t in get_args(hint) if t is not NoneType)
    if get_origin(hint) is Literal:
        return str
    kind: type[Any] = get_origin(hint) or hint
    return kind


def _toml(value: Any) -> str:
    """A value as TOML writes it; JSON's strings, numbers and lists are TOML's."""
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
