"""HTML of the executed notebooks, and the index page of a run."""

import html
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from traitlets.config import Config

from dbeta_lib.files import atomic_write
from dbeta_lib.notebook_parameters import Notebook
from dbeta_lib.workflow.formulas import Exporter
from dbeta_lib.workflow.progress import clock
from dbeta_lib.workflow.state import State

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #767676; --link: #1f6feb; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.sub { margin-top: .2rem; color: var(--soft); }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; color: var(--soft); }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.time { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.finished { color: #1a7f37; } .failed { color: #cf222e; } .stopped, .running { color: #9a6700; }
.waiting { color: var(--soft); } .message { font-size: .85rem; overflow-wrap: anywhere; }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .8rem; font-size: .8rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); padding: .5rem; background: #fff; }
figure img { width: 100%; } figcaption { color: #555; font-size: .85rem; }
"""


# A bar that was drawn a hundred times is one line, as on a screen: its last state.
_CONFIG = Config({"CoalesceStreamsPreprocessor": {"enabled": True}})
_LINK = re.compile(r"(\]\()([^)\s<>#]+)([^)\s<>]*\))")  # of Markdown: ](address#term)


def write_html(executed: Path, page: Path, folder: Path) -> None:
    """The executed notebook as one HTML page. `folder`: of the notebook, from where it links."""
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(lambda m: _moved(m, folder, page.parent), cell.source)
    resources = {"metadata": {"name": executed.stem}}
    exporter = Exporter(template_name="lab", config=_CONFIG)
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    with atomic_write(page) as temporary:
        temporary.write_text(body, encoding="utf-8")


def _moved(link: re.Match, folder: Path, pages: Path) -> str:
    """A link of a notebook as its page has it: other notebooks' pages, files where they lie."""
    target = folder / link[2]
    if re.fullmatch(r"\d\d_\w+\.ipynb", link[2]):
        address = target.with_suffix(".html").name
    elif "://" in link[2] or not target.exists():
        return link[0]
    else:
        address = _address(pages, target)
    return f"{link[1]}{address}{link[3]}"


def summary(executed: Path) -> str:
    """The text that the cells tagged `summary` put out: what the terminal and the index repeat."""
    texts = []
    for cell in nbformat.read(executed, as_version=4).cells:
        if cell.cell_type == "code" and "summary" in cell.metadata.get("tags", []):
            texts += [_text(output) for output in cell.outputs]
    return "\n".join(text.rstrip() for text in texts if text.strip())


def _text(output: Any) -> str:
    """Plain text of one output: what it printed to stdout, or its value."""
    if output.output_type == "stream":
        return output.text if output.name == "stdout" else ""
    return output.get("data", {}).get("text/plain", "")


def title_of(path: Path) -> str:
    """The notebook's first heading, else its name."""
    for cell in nbformat.read(path, as_version=4).cells:
        for line in cell.source.splitlines():
            if cell.cell_type == "markdown" and line.startswith("# "):
                return line[2:].strip()
    return path.stem


def write_index(out: Path, profile: str, notebooks: tuple[Notebook, ...], state: State) -> Path:
    """`index.html` of a run folder: notebooks with status and time, summaries, figures."""
    rows = "".join(_row(out, n, state.notebooks.get(n.name, {})) for n in notebooks)
    parts = [
        f"<h1>D-BETA, profile {html.escape(profile)}</h1>",
        f'<p class="sub">{datetime.now():%Y-%m-%d %H:%M} · '
        "for research and teaching, not for diagnosis</p>",
        "<table><tr><th>Notebook</th><th>Status</th><th>Time</th><th>Open</th></tr>",
        rows,
        "</table>",
        _data_reports(out),
        _certificate(out),
        *_summaries(notebooks, state),
        _figures(out),
    ]
    page = out / "index.html"
    with atomic_write(page) as temporary:
        temporary.write_text(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>D-BETA · {html.escape(profile)}</title><style>{_STYLE}</style></head>"
            f"<body>{''.join(parts)}</body></html>\n",
            encoding="utf-8",
        )
    return page


def _row(out: Path, notebook: Notebook, record: dict[str, Any]) -> str:
    """One line of the table of notebooks."""
    status = record.get("status", "waiting")
    message = record.get("message", "")
    links = [
        _link(out, out / "html" / f"{notebook.name}.html", "page"),
        _link(out, out / "notebooks" / f"{notebook.name}.ipynb", "notebook"),
    ]
    return (
        f"<tr><td>{html.escape(title_of(notebook.path))}</td>"
        f'<td class="{html.escape(status)}">{html.escape(status)}'
        + (f'<div class="message">{html.escape(message)}</div>' if message else "")
        + f'</td><td class="time">{clock(record["seconds"]) if "seconds" in record else ""}</td>'
        f"<td>{' · '.join(link for link in links if link)}</td></tr>"
    )


def _link(out: Path, target: Path, text: str) -> str:
    """A relative link, "" where the target is not there."""
    if not target.exists():
        return ""
    return f'<a href="{html.escape(_address(out, target))}">{html.escape(text)}</a>'


def _address(out: Path, target: Path) -> str:
    """The target relative to the run folder, as an address."""
    return quote(os.path.relpath(target, out).replace(os.sep, "/"))


def _certificate(out: Path) -> str:
    """Link to the certificate that notebook 11 left."""
    link = _link(out, out / "certificate.html", "certificate")
    return f"<p>The paper beside this run: {link}</p>" if link else ""


def _data_reports(out: Path) -> str:
    """Links to the data reports that notebook 01 left, one per store."""
    pages = sorted((out / "data_reports").glob("*.html"))
    links = " · ".join(_link(out, page, page.stem) for page in pages)
    return f"<p>Data reports: {links}</p>" if links else ""


def _summaries(notebooks: tuple[Notebook, ...], state: State) -> list[str]:
    """The result tables that the notebooks printed."""
    return [
        f"<h2>{html.escape(title_of(n.path))}</h2><pre>{html.escape(record['summary'])}</pre>"
        for n in notebooks
        if (record := state.notebooks.get(n.name, {})).get("summary")
    ]


def _figures(out: Path) -> str:
    """Pictures under `figures/`, one per name; PNG before SVG where both were saved."""
    found: dict[str, Path] = {}
    for suffix in (".png", ".svg"):
        for path in sorted((out / "figures").rglob(f"*{suffix}")):
            found.setdefault(str(path.with_suffix("")), path)
    pictures = []
    for key in sorted(found):
        address = html.escape(_address(out, found[key]))
        caption = html.escape(found[key].stem.replace("_", " "))
        pictures.append(
            f'<figure><a href="{address}"><img src="{address}" alt="{caption}" loading="lazy"></a>'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return f'<h2>Figures</h2><div class="figures">{"".join(pictures)}</div>' if pictures else ""
