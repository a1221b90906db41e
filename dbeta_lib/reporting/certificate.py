"""One page that says what a folder of results proves: what was run, with what, beside the paper.

A single HTML file without scripts, fonts or pictures from elsewhere. Everything that came from a
file is escaped.
"""

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.code_commit import running_commit
from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.results import load_all, versions
from dbeta_lib.files import atomic_write, sha256_file
from dbeta_lib.reporting import paper_numbers as paper
from dbeta_lib.reporting import paper_tables
from dbeta_lib.reporting.tables import Table, show

TOLERANCE = 2e-5  # of an output, 1e-5 of a loss: float32 over the whole network
LOSS_TOLERANCE = 1e-5
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #767676; --bad: #cf222e; --good: #1a7f37; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 95rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; } p, li { max-width: 60rem; }
p.sub { margin-top: .2rem; color: var(--soft); }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .85rem; }
th { color: var(--soft); } caption { text-align: left; padding-top: .6rem; color: var(--soft); }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
.bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); }
section { overflow-x: auto; } details { margin: .4rem 0; } summary { cursor: pointer; }
"""


def write(
    results_folder: Path | str,
    out_html: Path | str,
    *,
    more: Sequence[Path | str] = (),
    parity: Path | str | None = None,
) -> Path:
    """Write the certificate about a folder of result records, and `more` of them; the path.

    `parity`: a parity file (.npz) or a folder of them, checked now (seconds); without it the page
    says that parity was not checked. Raises DBetaError where a folder is not there, a record or
    parity file is damaged, or the disk is full; UsageError where one of `more` holds no record.
    """
    results = paper.gather(results_folder, more) if more else load_all(results_folder)
    names = html.escape(", ".join(paper.run_name(folder) for folder in (results_folder, *more)))
    made = paper_tables.tables(results)
    demo = made.pop(paper_tables.DEMO, None)
    doubts = made.pop("Doubts about printed numbers")
    parts = [
        "<h1>Certificate: D-BETA, the paper and this run</h1>",
        f'<p class="sub">{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · results in {names} · '
        "for research and teaching, not for diagnosis</p>",
        _section("What it says", _said(results)),
        _section("Code", _code()),
        _section("Versions of the records", _commits(results), _versions(results)),
        _section("Data", _data(results)),
        _section("Parity with the official network", _parity(parity)),
        _section("The paper beside ours", *_titled(made)),
        _section("Not run", _not_run(results)),
        _section("Doubts about printed numbers", doubts),
    ]
    if demo:
        parts.append(_section("Demo results: they say nothing about patients", demo))
    path = Path(out_html)
    with atomic_write(path) as temporary:
        temporary.write_text(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>Certificate: D-BETA</title><style>{_STYLE}</style></head>"
            f"<body>{''.join(parts)}</body></html>\n",
            encoding="utf-8",
        )
    return path


def parity_table(source: Path | str) -> pd.DataFrame:
    """Each official output of the files and how far ours is: file, output, difference, allowed, ok.

    `source`: a file, or a folder of which every .npz with a `config` is taken. Raises DBetaError
    where there is none.
    """
    from dbeta_lib.released import check_parity  # brings torch, which the rest does not need

    source = Path(source)
    files = [source] if not source.is_dir() else sorted(filter(_has_config, source.glob("*.npz")))
    if not files:
        raise DBetaError(f"{source} holds no parity file; name one, or leave parity out")
    rows = []
    for path in files:
        for name, gap in check_parity(path).items():
            allowed = LOSS_TOLERANCE if "/loss_" in name else TOLERANCE
            rows.append((path.name, name, gap, allowed, gap <= allowed))
    return pd.DataFrame(rows, columns=["file", "output", "difference", "allowed", "ok"])


def _has_config(path: Path) -> bool:
    with np.load(path, allow_pickle=False) as file:
        return "config" in file.files


def _parity(source: Path | str | None) -> str:
    if source is None:
        return _text("Not checked: no parity file was given.")
    table = parity_table(source)
    wrong = table[~table["ok"]]
    kind, said = ("bad", f"{len(wrong):,} differ") if len(wrong) else ("good", "all agree")
    worst = table.sort_values("difference", ascending=False, kind="stable").assign(
        difference=table["difference"].map("{:.1e}".format),
        allowed=table["allowed"].map("{:.0e}".format),
    )
    path = Path(source)
    files = [path] if path.is_file() else [path / name for name in table["file"].unique()]
    sums = "; ".join(f"{file.name} SHA-256 {sha256_file(file)}" for file in files)
    return (
        f'<p class="{kind}">{len(table):,} outputs of the official network compared: {said}.</p>'
        + _text(sums)
        + f"<details><summary>Each output</summary>{show(worst).to_html()}</details>"
    )


def _said(results: pd.DataFrame) -> str:
    """In sentences: how much of the paper was run, and on which side ours came out."""
    pairs = paper_tables.joined(results)
    cells = pairs.drop_duplicates(["protocol", "dataset", "label_fraction", "lead_subset"])
    ran = pairs[pairs["our_encoder"].notna()]
    where = ["our_file", "our_folder"] if "our_folder" in ran else ["our_file"]
    answers = len(ran.drop_duplicates(where))
    demo = int(paper.is_demo(results).sum())
    lines = [
        f"{len(results):,} result records; {answers:,} of them answer a question "
        f"of the paper's tables, {demo:,} are demo results and stand apart.",
        f"A single record can answer {len(cells):,} such questions; D-BETA's printed number is "
        f"known for {int((cells['printed'] != '').sum()):,} of them.",
    ]
    trained = ran[ran["our_domain"] != "untrained"]
    for domain, of in trained.groupby("our_domain", sort=True):
        counts = of.loc[of["verdict"] != "", "verdict"].value_counts(sort=False).sort_index()
        told = ", ".join(f"{verdict}: {n:,}" for verdict, n in counts.items())
        lines.append(
            f"Ours {domain} ({paper_tables.WORDS[domain]}): {len(of):,} results; against "
            f"D-BETA's number: {told or 'none is known for these'}."
        )
    if trained.empty:
        lines.append("No result of a pre-trained encoder answers a question of the paper.")
    lines.append(
        'The paper prints no intervals, so intervals cannot overlap: "ours contains it" says that '
        "the printed number lies in our interval, the two others on which side of it ours lies."
    )
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _code() -> Table:
    """The code that wrote the page; the records may be of another, see `_versions`."""
    told = {"commit": running_commit(), **versions()}
    return show(pd.DataFrame({"what": list(told), "is": list(told.values())}))


def _commits(results: pd.DataFrame) -> str:
    """In a sentence: whether the records were computed by the code that wrote the page."""
    named = sorted(set(results["commit"]) - {""})
    silent = int((results["commit"] == "").sum())
    told = []
    if len(named) == 1 and not silent:
        told = [f"All records were computed by the commit {named[0]}"]
    elif len(named) > 1:
        told = [f"The records were computed by {len(named)} different commits"]
    elif named:
        told = [f"{len(results) - silent:,} records were computed by the commit {named[0]}"]
    if silent:
        told.append(f"{silent:,} of {len(results):,} records do not name theirs")
    if any(name != running_commit() for name in named):
        told.append(f"this page was written by {running_commit()}")
    return _text("; ".join(told) + ".") if told else ""


def _versions(results: pd.DataFrame) -> Table | str:
    """The commits and sets of versions that records were computed with, and how many have each."""
    if results.empty:
        return _text("No records.")
    told = results["versions"].map(lambda v: ", ".join(f"{k} {v[k]}" for k in sorted(v)))
    named = results["commit"].where(results["commit"] != "", "not named")
    frame = results.assign(versions=told, commit=named).groupby(["commit", "versions"], sort=True)
    return show(
        frame.agg(
            records=("file", "size"), first=("date", "min"), last=("date", "max")
        ).reset_index()
    )


def _data(results: pd.DataFrame) -> Table | str:
    """Stores with their fingerprints: a checksum over signals, records and labels."""
    if results.empty:
        return _text("No records.")
    keys = ["data", "store_fingerprint", "profile"]
    frame = results.groupby(keys, sort=True).agg(
        tasks=("task", lambda tasks: ", ".join(sorted(set(tasks)))), records=("file", "size")
    )
    return show(frame.reset_index().rename(columns={"store_fingerprint": "fingerprint"}))


def _not_run(results: pd.DataFrame) -> Table | str:
    absent = paper_tables.not_run(results)
    if absent.empty:
        return _text("Every row of the paper was run.")
    names = {"so_far": "run so far", "takes": "what it takes"}
    return show(absent.rename(columns=names))


def _titled(made: dict[str, Table]) -> list[str]:
    return [f"<h3>{html.escape(title)}</h3>{table.to_html()}" for title, table in made.items()]


def _text(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _section(title: str, *parts: str | Table) -> str:
    shown = [part.to_html() if isinstance(part, Table) else part for part in parts]
    return f"<section><h2>{html.escape(title)}</h2>{''.join(shown)}</section>"
