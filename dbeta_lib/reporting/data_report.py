"""One page about one signal store: what is in it, what is not, and what to look at first.

A single HTML file without scripts, fonts or pictures from elsewhere. Everything that came with the
data (ids, class names, report texts, versions) is escaped. The same store gives the same bytes.
"""

import base64
import html
import io
import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from dbeta_lib.data.reports import duplicate_statistics
from dbeta_lib.data.store import SPLITS, SignalStore
from dbeta_lib.files import atomic_write
from dbeta_lib.reporting import data_tables as found
from dbeta_lib.reporting.ecg_paper import draw_ecg
from dbeta_lib.reporting.style import style_context
from dbeta_lib.reporting.tables import Table, show
from dbeta_lib.seeds import rng

SHOWN = 50  # records set aside shown per reason, and groups of duplicates
_EXAMPLES = 4
_REPORT_LENGTH = 600  # characters of a report shown
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #767676; --bad: #cf222e; --warn: #9a6700; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; } p.sub { margin-top: .2rem; color: var(--soft); }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; } th { color: var(--soft); }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.bad { color: var(--bad); font-weight: 600; } .warn { color: var(--warn); }
details { margin: .4rem 0; } summary { cursor: pointer; }
figure { margin: 1rem 0; border: 1px solid var(--line); padding: .5rem; background: #fff; }
figure img { width: 100%; } figcaption { color: #333; font-size: .9rem; overflow-wrap: anywhere; }
caption { text-align: left; font-weight: 600; padding-top: .6rem; }
"""


def write(store: SignalStore, out_html: Path | str) -> Path:
    """Write the page about `store`; the path.

    Seconds for 22,000 rows: only tables and four signals are read. Raises DBetaError where a file
    of the store is damaged or the disk is full.
    """
    name = html.escape(f"{store.meta['name']} at {store.sampling_rate} Hz")
    parts = [
        f"<h1>Data report: {name}</h1>",
        f'<p class="sub">{len(store):,} rows of {_seconds(store):g} s · '
        "for research and teaching, not for diagnosis</p>",
        _section("Look at this first", _alerts(store)),
        _section("Source and preparation", _source(store)),
        _section("Splits", found.splits(store), _patients(store)),
        _section("Set aside", _set_aside(store)),
        _section("Signals", *_signals(store)),
        _section("The very same signal twice", *_duplicate_signals(store)),
        _section("Labels", *_labels(store)),
        _section("Reports", *_reports(store)),
        _section("Age and sex", _text(found.ages(store)), found.people(store)),
        _section("Examples", *_examples(store)),
    ]
    path = Path(out_html)
    with atomic_write(path) as temporary:
        temporary.write_text(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>Data report: {name}</title><style>{_STYLE}</style></head>"
            f"<body>{''.join(parts)}</body></html>\n",
            encoding="utf-8",
        )
    return path


def alerts(store: SignalStore) -> list[tuple[str, str]]:
    """What a user should know before all else: ("bad" | "warn", sentence), the worst first."""
    said = []
    crossing = found.crossing(store)
    if crossing:
        shown = ", ".join(crossing[:5]) + (", ..." if len(crossing) > 5 else "")
        said.append(("bad", f"Patients in more than one split: {len(crossing):,} ({shown})."))
    if not store.meta["patients_known"]:
        said.append(
            ("warn", "The dataset does not say whose a recording is: splits may share patients.")
        )
    groups = found.duplicate_signals(store)
    if across := int(groups["across"].sum()):
        said.append(("bad", f"Identical signals in more than one split: {across:,} groups."))
    if several := int((groups["whose"] == "several patients").sum()):
        said.append(("warn", f"Identical signals of several patients: {several:,} groups."))
    if store.reports_from_labels:
        said.append(
            ("bad", "The reports were made from the labels: zero-shot results are not zero-shot.")
        )
    for split in SPLITS:
        if not len(store.rows(split)):
            said.append(("warn", f"No row is in the split {split}."))
    records = store.meta["counts"]["records"]
    aside = store.set_aside["record"].nunique()
    if aside > 0.05 * (aside + records):
        said.append(("warn", f"{aside:,} of {aside + records:,} records were set aside."))
    for task in store.tasks():
        absent = found.prevalence(store, task)[1]
        if absent:
            shown = ", ".join(absent[:8])
            shown += f" and {len(absent) - 8} more" if len(absent) > 8 else ""
            said.append(("warn", f"Task {task}: no positive of {shown}."))
    return sorted(said, key=lambda item: item[0] != "bad")


def _alerts(store: SignalStore) -> str:
    said = alerts(store)
    items = [f'<li class="{kind}">{html.escape(text)}</li>' for kind, text in said]
    if not found.crossing(store) and store.meta["patients_known"]:
        items.append("<li>No patient is in more than one split (checked).</li>")
    return f"<ul>{''.join(items)}</ul>"


def _source(store: SignalStore) -> Table:
    meta = store.meta
    told = {
        "dataset": meta["name"],
        "version": meta["source"]["version"],
        "checksum of the source": meta["source"]["checksum"],
        "code version": meta["preparation"].get("code_version", "unknown"),
        "sampling rate": f"{store.sampling_rate} Hz",
        "leads": " ".join(meta["leads"]),
        "patients known": "yes" if meta["patients_known"] else "no",
        "fingerprint": store.fingerprint,
    }
    if "shard" in meta:
        told["shard"] = "part {} of {}, counted from 0".format(*meta["shard"])
    for option, value in sorted(meta["preparation"].get("options", {}).items()):
        told[f"option {option}"] = value if isinstance(value, str) else json.dumps(value)
    return show(pd.DataFrame({"what": list(told), "is": [str(value) for value in told.values()]}))


def _patients(store: SignalStore) -> str:
    """Patients on several sides, all of them by name where there are any."""
    crossing = found.crossing(store)
    text = f"Patients in more than one of train, val and test: {len(crossing):,}"
    if not store.meta["patients_known"]:
        text = "Patients are not known: every record counts as one of its own"
    if not crossing:
        return _text(f"{text}.")
    names = html.escape(", ".join(crossing[:SHOWN]) + (", ..." if len(crossing) > SHOWN else ""))
    return f'<p class="bad">{text} ({names}).</p>'


def _set_aside(store: SignalStore) -> str:
    aside = store.set_aside
    if aside.empty:
        return _text("Nothing was set aside.")
    parts = []
    counts = aside["reason"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    for reason, n in counts.items():
        of = aside[aside["reason"] == reason].iloc[:SHOWN]
        more = f", the first {SHOWN}" if n > SHOWN else ""
        title = html.escape(f"{reason}: {n:,}{more}")
        table = show(of[["record", "detail"]]).to_html()
        parts.append(f"<details><summary>{title}</summary>{table}</details>")
    return "".join(parts)


def _signals(store: SignalStore) -> Iterable[Table]:
    return found.quality(store), found.lengths(store), found.leads(store)


def _duplicate_signals(store: SignalStore) -> Iterable[str | Table]:
    groups = found.duplicate_signals(store)
    if groups.empty:
        return [_text("No two rows have the same samples.")]
    told = groups.groupby("whose", sort=False).agg(
        groups=("rows", "size"), rows=("rows", "sum"), across=("across", "sum")
    )
    told = told.rename(columns={"across": "groups in more than one split"}).reset_index()
    parts = [show(told)]
    if not store.meta["patients_known"]:
        parts.append(_text("Patients are not known here: two records count as two patients."))
    table = show(groups.iloc[:SHOWN][["whose", "splits", "rows", "records"]]).to_html()
    more = f", the gravest {SHOWN}" if len(groups) > SHOWN else ""
    title = f"{len(groups):,} groups{more}"
    return [*parts, f"<details><summary>{title}</summary>{table}</details>"]


def _labels(store: SignalStore) -> Iterable[str | Table]:
    if not store.tasks():
        return [_text("The store has no labels.")]
    parts: list[str | Table] = []
    for task in store.tasks():
        parts.append(f"<h3>{html.escape(task)}</h3>")
        parts.append(_text(f"Convention: {store.convention(task)}."))
        parts.append(found.prevalence(store, task)[0])
    return parts


def _reports(store: SignalStore) -> Iterable[str | Table]:
    of = found.once(store)
    told = duplicate_statistics(of["text"])
    if not told["texts"]:
        return [_text("The store has no reports.")]
    words = of["text"][of["report_id"] >= 0].str.split().str.len()
    shared = found.shared_reports(store)
    top = pd.DataFrame(told["top"], columns=["most frequent reports", "records"])
    top["most frequent reports"] = top["most frequent reports"].map(_cut)
    return [
        _text(
            f"{told['texts']:,} of {len(of):,} records have a report, {told['distinct']:,} "
            f"distinct texts, {words.median():.0f} words in the median. Two records drawn at "
            f"random carry the same text with a probability of {told['same_pair']:.4f}."
        ),
        _text(f"Records whose text also occurs in train: {', '.join(shared)}.") if shared else "",
        show(top),
        found.languages(store),
    ]


def _examples(store: SignalStore) -> Iterable[str]:
    return [_example(store, row) for row in example_rows(store)]


def example_rows(store: SignalStore) -> list[int]:
    """Up to four rows, always the same of one store: a row of each split, then a remarkable one."""
    records = store.records
    full = (1 << len(store.leads)) - 1
    remarkable = (
        (records["leads_present"] != full) | (records["flat_leads"] > 0) | (records["padded"] > 0)
        | (records["nan_filled"] > 0) | (records["findings"] != "")
    ).to_numpy().nonzero()[0]  # fmt: skip
    chosen: list[int] = []
    for pool in (*map(store.rows, SPLITS), remarkable, *[range(len(store))] * _EXAMPLES):
        left = [int(row) for row in pool if row not in chosen]
        if left and len(chosen) < _EXAMPLES:
            chosen.append(left[rng(0, "data-report", len(chosen)).integers(len(left))])
    return chosen


def _example(store: SignalStore, row: int) -> str:
    record = store.records.iloc[row]
    chart = draw_ecg(store.ecg(row), store.sampling_rate, lead_mask=store.lead_mask()[row])
    picture = io.BytesIO()
    with style_context():
        chart.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    code = base64.b64encode(picture.getvalue()).decode()
    title = f"record {record['record_id']}, {record['split']}"
    if record["window"]:
        title += f", window {record['window']}"
    if record["findings"]:
        title += f", findings: {record['findings']}"
    labels = [
        f"{task}: {', '.join(names)}"
        for task in store.tasks()
        if (names := _positives(store, task, row))
    ]
    caption = f"<b>{html.escape(title)}</b>"
    if labels:
        caption += f"<br>{html.escape('; '.join(labels))}"
    if record["report"]:
        caption += f"<br>{html.escape(_cut(record['report']))}"
    return (
        f'<figure><img src="data:image/png;base64,{code}" alt="twelve leads of '
        f'{html.escape(title)}"><figcaption>{caption}</figcaption></figure>'
    )


def _positives(store: SignalStore, task: str, row: int) -> list[str]:
    labels = store.labels(task).iloc[row]
    return [str(name) for name in labels.index[labels == 1]]


def _seconds(store: SignalStore) -> float:
    return store.meta["samples"] / store.sampling_rate


def _cut(text: str) -> str:
    return text if len(text) <= _REPORT_LENGTH else text[:_REPORT_LENGTH].rstrip() + "…"


def _text(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _section(title: str, *parts: str | Table) -> str:
    shown = [part.to_html() if isinstance(part, Table) else part for part in parts]
    return f"<h2>{html.escape(title)}</h2>{''.join(shown)}"
