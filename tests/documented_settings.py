"""docs/settings.md: every setting of the server, from the schema that the server reads them by.

python tests/documented_settings.py --write
"""

from __future__ import annotations

import sys
from pathlib import Path

from exalign_engine.settings import Setting
from exalign_service.config.sources import SCHEMA

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """# Settings of the server

Each is a flag of `exalign-server serve`, a variable in the environment (`max_batch`: `EXALIGN_MAX_BATCH`) and a key of
the TOML file that `--config` names, in its section. Flags win over the environment, and that over the file.
`--print-config` shows what is in force and where it came from. What is wrong is said all at once, with value, limit
and source; the exit code is 2.

Made by `python tests/documented_settings.py --write`.
"""


def row(setting: Setting) -> str:
    """One line of a table."""
    default = "" if setting.default is None else f"`{_text(setting.default)}`"
    cells = (f"`{setting.flag}`", default, setting.limit, setting.rule.help)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("[", "\\[") for cell in cells) + " |"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def page() -> str:
    """What the page must say."""
    sections: dict[str, list[str]] = {}
    for setting in SCHEMA.settings():
        sections.setdefault(setting.section, []).append(row(setting))
    parts = [HEAD]
    for name, rows in sections.items():
        title = f"## [{name}]" if name else "## Top of the file"
        parts.append("\n".join((title, "", "| flag | default | must be | |", "|---|---|---|---|", *rows)) + "\n")
    return "\n".join(parts)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(page(), "utf-8")
