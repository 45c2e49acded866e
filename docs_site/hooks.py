"""What MkDocs is told while it builds: links that leave the docs, equations, diagrams, the contract's page."""

from __future__ import annotations

import posixpath
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs_site import contract  # noqa: E402

#: Fetched and checked by docs_site/fetch.py; without it diagrams are shown as their text.
MERMAID = ROOT / "out" / "docs-assets" / "mermaid.min.js"

_LINK = re.compile(r"(\]\()(\.\./[^)#\s]+)(#[^)\s]*)?(\))")
_BLOCK = re.compile(r"^\$\$\n(.+?)\n\$\$$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<![\\$`\w])\$([^$`\n]+?)\$(?![\w$])")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def source() -> str:
    """Address of the repository's files."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    return f"{urls['Source']}/blob/main"


def on_config(config: Any) -> Any:
    """Our copy of mermaid, before the theme looks for one elsewhere."""
    if MERMAID.is_file():
        config.extra_javascript.append("assets/mermaid.min.js")
    return config


def on_files(files: Files, config: Any) -> Files:
    """The contract's page is made; mermaid lies beside the others."""
    files.append(File.generated(config, "api/contract.md", content=contract.page()))
    if MERMAID.is_file():
        files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links and equations outside code; diagrams."""
    if not MERMAID.is_file():
        markdown = markdown.replace("```mermaid", "```text")
    pieces = _CODE.split(markdown)
    folder = posixpath.dirname(page.file.src_uri)
    if page.file.src_uri == "decisions/README.md":
        markdown += _decisions()
    pieces[::2] = [_equations(_links(text, folder)) for text in pieces[::2]]
    return _links("".join(pieces), folder)  # the text of a link may be code


def _decisions() -> str:
    """A list of the pages, by their titles."""
    found = {}
    for path in (ROOT / "docs" / "decisions").glob("*.md"):
        title = path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        found[title] = path.name
    return "\n\n" + "\n".join(f"- [{title}]({found[title]})" for title in sorted(found) if found[title] != "README.md")


def _links(text: str, folder: str) -> str:
    """Links to files of the repository lead there; one that leads nowhere stays, and fails the build."""

    def replaced(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, found[2]))
        if target.startswith("docs/") or not (ROOT / target).exists():
            return found[0]
        return f"{found[1]}{source()}/{target}{found[3] or ''}{found[4]}"

    return _LINK.sub(replaced, text)


def _equations(text: str) -> str:
    """LaTeX becomes MathML, which browsers draw by themselves."""
    text = _BLOCK.sub(lambda m: f"\n{latex2mathml.converter.convert(m[1], display='block')}\n", text)
    return _INLINE.sub(lambda m: latex2mathml.converter.convert(m[1]), text)
