"""Where settings come from: flags, then the environment, then a TOML file, then the defaults.

Every setting has one name: ``max_batch`` is ``--max-batch``, ``EXALIGN_MAX_BATCH`` and, in the file,
``max_batch`` under ``[batching]``. Nothing else in the server reads the environment.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

from exalign_service.config.schema import (
    BatchingConfig,
    ConfigError,
    LimitsConfig,
    ModelConfig,
    Rule,
    ServerConfig,
    SessionsConfig,
    rules_of,
)

PREFIX = "EXALIGN_"

#: Sections of the TOML file; the settings of "" stand at its top.
SECTIONS: dict[str, type[Any]] = {
    "": ServerConfig,
    "model": ModelConfig,
    "batching": BatchingConfig,
    "limits": LimitsConfig,
    "sessions": SessionsConfig,
}


@dataclass(frozen=True)
class Setting:
    """One setting: its name, section, type and rule."""

    name: str
    section: str
    kind: type[Any]
    rule: Rule
    default: Any

    @property
    def flag(self) -> str:
        """On the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """In the environment."""
        return PREFIX + self.name.upper()

    def parse(self, text: str) -> Any:
        """From a flag or the environment.

        Raises:
            ValueError: it is not of the setting's type.
        """
        return self.kind(text)

    def convert(self, value: Any) -> Any:
        """From TOML.

        Raises:
            ValueError: it is not of the setting's type.
        """
        accepted: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,), Path: (str,)}
        if isinstance(value, bool) or not isinstance(value, accepted[self.kind]):
            raise ValueError
        return self.kind(value)


@dataclass(frozen=True)
class Loaded:
    """A configuration and where each of its values is from, by name of the setting."""

    config: ServerConfig
    origins: Mapping[str, str]

    def to_toml(self) -> str:
        """The effective configuration as a TOML file, with the origin of each value in a comment."""
        lines = []
        for section in SECTIONS:
            if section:
                lines += ["", f"[{section}]"]
            owner = getattr(self.config, section) if section else self.config
            for setting in SETTINGS:
                if setting.section != section:
                    continue
                value = getattr(owner, setting.name)
                shown = f"{setting.name} = {_toml(value)}" if value is not None else f"# {setting.name} is not set"
                lines.append(f"{shown}  # {self.origins[setting.name]}: {setting.rule.help}")
        return "\n".join(lines) + "\n"


def _settings() -> tuple[Setting, ...]:
    result = []
    for section, owner in SECTIONS.items():
        defaults = {f.name: f.default for f in fields(owner)}
        for name, (hint, rule) in rules_of(owner).items():
            kind = next(t for t in get_args(hint) if t is not NoneType) if isinstance(hint, UnionType) else hint
            result.append(Setting(name, section, kind, rule, defaults[name]))
    return tuple(result)


#: Every setting there is.
SETTINGS: tuple[Setting, ...] = _settings()


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a parser ``--config`` and one flag for each setting. Values stay text until `load` checks them."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    for setting in SETTINGS:
        unset = "" if setting.default is None else f" (default {setting.default})"
        choices = f"; {setting.rule.limit}" if setting.rule.choices else ""
        text = f"{setting.rule.help}{choices}{unset}"
        parser.add_argument(setting.flag, dest=setting.name, metavar="VALUE", help=text.replace("%", "%%"))


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Loaded:
    """Put the configuration together.

    Args:
        flags: text by name of the setting, None where the flag was not given; other entries are ignored.
        environ: the process's environment.
        file: TOML file, or None.

    Raises:
        ConfigError: one line for each wrong value: setting, value, limit and where it is from.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    problems: list[tuple[tuple[str, ...], str]] = []
    table = _read(file) if file is not None else {}
    for setting in SETTINGS:
        in_file = (table.get(setting.section, {}) if setting.section else table).get(setting.name)
        read: Callable[[Any], Any]
        flag, variable = flags.get(setting.name), environ.get(setting.variable)
        if flag is not None:
            origin, raw, read = f"flag {setting.flag}", flag, setting.parse
        elif variable is not None:
            origin, raw, read = f"environment {setting.variable}", variable, setting.parse
        elif in_file is not None:
            origin, raw, read = f"file {file}", in_file, setting.convert
        else:
            origins[setting.name] = "default"
            continue
        origins[setting.name] = origin
        try:
            value = read(raw)
        except ValueError:
            limit = _limit(setting)
            problems.append(((setting.name,), f"{setting.name} is {raw!r}, must be {limit} (from {origin})"))
            continue
        if not setting.rule.accepts(value):
            limit = _limit(setting)
            problems.append(((setting.name,), f"{setting.name} is {value!r}, must be {limit} (from {origin})"))
            continue
        values[setting.name] = value
    if problems:
        raise ConfigError(problems)
    return Loaded(_build(values, origins), origins)


def _build(values: Mapping[str, Any], origins: Mapping[str, str]) -> ServerConfig:
    """The configuration of values that are right one by one."""
    sections = {
        section: owner(**{s.name: values[s.name] for s in SETTINGS if s.section == section and s.name in values})
        for section, owner in SECTIONS.items()
        if section
    }
    top = {s.name: values[s.name] for s in SETTINGS if not s.section and s.name in values}
    try:
        return ServerConfig(**top, **sections)
    except ConfigError as e:  # what does not fit together
        raise ConfigError(
            [
                (names, f"{text} (from {'; '.join(f'{name}: {origins[name]}' for name in names)})")
                for names, text in e.problems
            ]
        ) from None


def _read(file: Path) -> dict[str, Any]:
    """The TOML file, with every key known."""
    try:
        table = tomllib.loads(file.read_text())
    except OSError as e:
        raise ConfigError([(("config",), f"config is {str(file)!r}, cannot be read: {e.strerror}")]) from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError([(("config",), f"config is {str(file)!r}, must be TOML: {e}")]) from e
    problems = []
    known = {(s.section, s.name) for s in SETTINGS}
    for key, value in table.items():
        if key in SECTIONS and key:
            if not isinstance(value, dict):
                problems.append(((key,), f"{key} is {value!r}, must be a section (from file {file})"))
                continue
            entries = [(key, name) for name in value]
        else:
            entries = [("", key)]
        for section, name in entries:
            if (section, name) not in known:
                where = f"[{section}] {name}" if section else name
                problems.append(((name,), f"{where} is not a setting (from file {file})"))
    if problems:
        raise ConfigError(problems)
    return table


def _limit(setting: Setting) -> str:
    """The limit in words, with the kind of number."""
    kind = {int: "a whole number, ", float: "a number, "}.get(setting.kind, "")
    return kind + setting.rule.limit


def _toml(value: Any) -> str:
    """A value as TOML writes it; JSON's strings and numbers are TOML's."""
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
