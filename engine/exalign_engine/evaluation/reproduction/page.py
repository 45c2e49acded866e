"""The report as Markdown with SVG files, and as one HTML page that stands by itself."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # files only

import matplotlib.pyplot as plt

from exalign.output_files import write_file
from exalign_engine.evaluation.reproduction.accuracy_figures import accuracy_section, curves_section
from exalign_engine.evaluation.reproduction.blocks import Block, Figure, Section, Table, Text
from exalign_engine.evaluation.reproduction.checklist import CHECKLIST, Item
from exalign_engine.evaluation.reproduction.model_figures import cost_section, membership_section
from exalign_engine.evaluation.reproduction.neighbours_figures import neighbours_section
from exalign_engine.evaluation.reproduction.peers_figures import peers_section
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.suite_figures import refinement_section, stress_section, video_section
from exalign_engine.evaluation.reproduction.sweep_figures import (
    losses_section,
    sharing_section,
    synthetic_section,
    tau_section,
)

TITLE = "The paper, reproduced"

INTRODUCTION = (
    "Li, Jeni and Ramanan, “Brute-Force Facial Landmark Analysis With A 140,000-Way Classifier” (AAAI 2018), table by "
    "table and figure by figure, on the data at hand. It is a proxy: 300VW was not available, faces are stills of "
    "HELEN, LFPW and YouTube Faces, clips are made of them, and the classes come from 4,217 real faces, their mirrors "
    "and synthetic poses. Order and ratios can be compared with the paper's; absolute figures cannot.",
    "`exalign-model reproduce` makes this page of the CSV files beside it in seconds; "
    "`exalign-model reproduce --from-scratch --data FACES` makes the CSV files that are missing, one by one as they "
    "end, and resumes where it stopped (`--only NAME` makes one piece). Cost on one core of two: a training 40 to 60 "
    "seconds up to K = 33,736 and five to six minutes at K = 143,378, all of them about an hour and a half; cost, "
    "membership, accuracy and refinement about three minutes together. On two cores, on `test`: the stress suite ten "
    "to twenty minutes, the video suite half a minute a clip, the peers (`python -m benchmarks.peers`) twenty minutes.",
)

#: In the order of the page.
SECTIONS = (
    cost_section,
    losses_section,
    membership_section,
    tau_section,
    sharing_section,
    neighbours_section,
    refinement_section,
    accuracy_section,
    curves_section,
    synthetic_section,
    video_section,
    stress_section,
    peers_section,
)

#: Sections whose outcome stands at the top of the page, also where there is none yet.
HEADLINES = ("fig-2", "fig-3", "fig-5", "table-1", "fig-6", "table-2", "fig-9", "fig-10", "table-3", "peers")

#: Cells of at most so many characters are not broken.
SHORT = 28

_STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.fonttype": "none",
}

_CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #f5f6f8; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 10px; } h2 { font-size: 18px; margin: 38px 0 8px; }
p { max-width: 84ch; } code { font-size: 13px; overflow-wrap: anywhere; } a { color: #245a9c; }
figure, .scroll { background: #fff; border: 1px solid #e1e5ea; border-radius: 8px; }
figure { margin: 12px 0; padding: 10px 12px; } figure svg { width: 100%; height: auto; display: block; }
figcaption { color: #5d6878; font-size: 13px; margin-top: 4px; }
.scroll { overflow-x: auto; margin: 12px 0; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; text-align: left; border-top: 1px solid #eceff3; vertical-align: top; }
.short { white-space: nowrap; }
thead th { border-top: 0; color: #5d6878; font-weight: 600; }
"""


def report_text(results: Path) -> str:
    """What README.md says, as Markdown; nothing is drawn or written.

    Args:
        results: see `write_report`.

    Raises:
        DataError: a CSV file is wrong.
    """
    return _markdown(_sections(results))


def write_report(results: Path, out: Path) -> list[Path]:
    """Write README.md, report.html and figures/*.svg.

    Args:
        results: folder of the CSV files; what is missing is said in the report.
        out: folder to write to; made if it is not there.

    Returns:
        The files.

    Raises:
        DataError: a CSV file is wrong.
    """
    sections = _sections(results)
    drawn = {b.name: _svg(b) for section in sections for b in section.blocks if isinstance(b, Figure)}
    (out / "figures").mkdir(parents=True, exist_ok=True)
    paths = [out / "README.md", out / "report.html"]
    write_file(paths[0], _markdown(sections))
    write_file(paths[1], _page(sections, drawn))
    for name, svg in drawn.items():
        paths.append(out / "figures" / f"{name}.svg")
        write_file(paths[-1], svg + "\n")
    return paths


def checklist_rows(sections: Sequence[Section]) -> list[tuple[Item, list[Section]]]:
    """Every item with the sections that show it.

    Raises:
        ValueError: an item names a section that is not there, or has neither section nor sentence.
    """
    known = {section.anchor: section for section in sections}
    rows = []
    for item in CHECKLIST:
        unknown = [anchor for anchor in item.sections if anchor not in known]
        if unknown or not (item.sections or item.where):
            raise ValueError(f"item {item.number} of the checklist points nowhere: {', '.join(unknown)}")
        rows.append((item, [known[anchor] for anchor in item.sections]))
    return rows


def _summaries(sections: Sequence[Section]) -> list[tuple[str, str]]:
    return [(s.title, s.summary or "not measured here") for s in sections if s.summary or s.anchor in HEADLINES]


def _svg(figure: Figure) -> str:
    """The drawing as an SVG element; the same for the same rows."""
    with plt.style.context({**_STYLE, "svg.hashsalt": figure.name}):
        canvas = plt.figure(figsize=figure.size, layout="constrained")
        figure.draw(canvas)
        text = io.StringIO()
        canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(canvas)
    drawn = text.getvalue()
    # Trailing blanks would fail the checks of who commits the files.
    return "\n".join(line.rstrip() for line in drawn[drawn.index("<svg") :].strip().split("\n"))


def _sections(results: Path) -> list[Section]:
    found = Results(results)
    return [make(found) for make in SECTIONS]


def _markdown(sections: Sequence[Section]) -> str:
    parts = [f"# {TITLE}", *INTRODUCTION, "## The checklist"]
    rows = []
    for item, shown in checklist_rows(sections):
        links = ", ".join(f"[{s.title.split(':')[0]}](#{s.anchor})" for s in shown)
        rows.append((str(item.number), item.what, ". ".join(t for t in (links, item.where) if t)))
    parts.append(_markdown_table(Table(("#", "item", "where"), tuple(rows))))
    parts += ["## In short", _markdown_table(Table(("what", "outcome"), tuple(_summaries(sections))))]
    for section in sections:
        parts.append(f'<a id="{section.anchor}"></a>\n\n## {section.title}')
        parts += [_markdown_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: Block) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Table):
        return _markdown_table(block)
    return f"![{block.caption}](figures/{block.name}.svg)\n\n*{block.caption}*"


def _markdown_table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(table.head), "|" + "---|" * len(table.head), *(line(row) for row in table.rows)])


def _page(sections: Sequence[Section], drawn: dict[str, str]) -> str:
    rows = []
    for item, shown in checklist_rows(sections):
        links = ", ".join(f'<a href="#{s.anchor}">{html.escape(s.title.split(":")[0])}</a>' for s in shown)
        where = ". ".join(t for t in (links, _inline(item.where)) if t)
        rows.append(f"<tr><td>{item.number}</td><td>{_inline(item.what)}</td><td>{where}</td></tr>")
    checklist = "<table><thead><tr><th>#</th><th>item</th><th>where</th></tr></thead><tbody>" + "\n".join(rows)
    body = "\n".join(
        f'<h2 id="{s.anchor}">{html.escape(s.title)}</h2>\n' + "\n".join(_html_block(b, drawn) for b in s.blocks)
        for s in sections
    )
    introduction = "\n".join(f"<p>{_inline(text)}</p>" for text in INTRODUCTION)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title><style>{_CSS}</style></head><body><main>
<h1>{TITLE}</h1>
{introduction}
<h2>The checklist</h2>
<div class="scroll">{checklist}</tbody></table></div>
<h2>In short</h2>
{_html_block(Table(("what", "outcome"), tuple(_summaries(sections))), drawn)}
{body}
</main></body></html>
"""


def _html_block(block: Block, drawn: dict[str, str]) -> str:
    if isinstance(block, Text):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Table):
        head = "".join(f"<th>{html.escape(name)}</th>" for name in block.head)
        body = "\n".join("<tr>" + "".join(map(_html_cell, row)) + "</tr>" for row in block.rows)
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    svg = drawn[block.name]
    # Ids of several drawings on one page must not meet.
    for reference in ('id="', 'href="#', "url(#"):
        svg = svg.replace(reference, f"{reference}{block.name}-")
    return f"<figure>{svg}<figcaption>{html.escape(block.caption)}</figcaption></figure>"


def _html_cell(text: str) -> str:
    """A cell; figures with their interval stay on one line."""
    opened = '<td class="short">' if len(text) <= SHORT else "<td>"
    return f"{opened}{html.escape(text)}</td>"


def _inline(text: str) -> str:
    """Escaped text, with code between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
