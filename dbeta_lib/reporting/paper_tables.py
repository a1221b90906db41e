"""The paper's tables with our results beside them; Markdown, LaTeX and CSV.

Printed numbers come from `paper_results.csv`, ours from result records, both by
`paper_numbers`; none is typed here. All are in points (x 100), as printed. D-BETA was pre-trained
on MIMIC-IV-ECG and evaluated elsewhere: so the first table of a protocol holds our out-of-domain
results, "--" where there is none, and results of another domain stand in tables of their own.
Under a row whose pre-training read reports of the records that the probe learns from stand the
controls of the same question and store (`paper_controls`). Demo results stand in the last one,
beside no printed number.
"""

import math
from pathlib import Path

import pandas as pd

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.results import DOMAINS, Provenance
from dbeta_lib.files import atomic_write
from dbeta_lib.reporting import paper_lists
from dbeta_lib.reporting import paper_numbers as paper
from dbeta_lib.reporting.paper_controls import with_controls
from dbeta_lib.reporting.paper_lists import ABSENT, share
from dbeta_lib.reporting.tables import Table, format_interval, show

DEMO = "Demo results"
FIRST = "out-of-domain"  # what the paper's own numbers are: its table keeps every cell
WORDS = {
    "out-of-domain": "pre-training read other datasets, as the paper's did",
    "in-domain": "pre-training read recordings of the evaluated dataset, unlike the paper's",
    "not known": "what pre-training read is not known",
    "untrained": "no pre-training: what the task gives away without it",
}
SIX = "the row of each of the six tasks, from one encoder with the same settings"
PRETRAINED = "a model pre-trained on MIMIC-IV-ECG (profile paper) or the released weights"
TAKES = {  # by protocol; {task} is the cell's
    "linear probe": "dbeta probe MODEL STORE --task {task}",
    "zero-shot": "dbeta zero-shot MODEL STORE --task {task}",
    "full fine-tuning": "fine-tuning of all its weights on the 26 scored classes, per lead subset",
    "identification": "fine-tuning on patients with two or more records (the whole of PTB-XL)",
}
TAKES_TABLE = {  # by table, of rows that no single record answers
    "N3S": "two pre-trainings, with and without N3S, and ETM accuracy on one fixed set",
    "linear probe": SIX,
    "zero-shot": SIX,
    "ablation": "a pre-training per row of that table, each with the three evaluations",
}


def tables(results: pd.DataFrame) -> dict[str, Table]:
    """Every table by its title, in the order of a page. `results` as `load_all` gives them.

    `Table.frame` holds the numbers (0..1) behind a table of ours.
    """
    printed = paper.published()
    cells = paper.cells(printed)
    made = {}
    for protocol, title in paper.PROTOCOLS.items():
        asked = cells[cells["protocol"] == protocol]
        for domain, words in WORDS.items():
            beside = paper.join(asked, results[results["domain"] == domain])
            if domain != FIRST:
                beside = beside[beside["our_encoder"].notna()]
            if len(beside):
                beside, told = with_controls(beside, asked, results)
                made[f"{title}, ours {domain}"] = _beside(beside, f"{title}: {words}", told)
    made["Rows of the paper that no single record answers"] = _unanswered(printed)
    made |= paper_lists.elsewhere(printed)
    made["Facts and claims"] = paper_lists.facts(printed)
    made["Doubts about printed numbers"] = show(paper.notes(printed))
    demo = results[paper.is_demo(results)]
    if len(demo):
        made[DEMO] = _demo(demo)
    return made


def not_run(results: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper that neither an out-of-domain result nor one of unknown domain answers.

    Columns: table, dataset, asked, so_far (domains of the results there are), takes (what running
    it needs).
    """
    printed = paper.published()
    beside = paper.join(paper.cells(printed), results)
    rows = []
    for _, group in beside.groupby("cell", sort=False):
        domains = set(group["our_domain"].dropna())
        if domains & {FIRST, "not known"}:  # of the released weights nobody knows what they read
            continue
        cell = group.iloc[0]
        labels = share(cell["label_fraction"])
        asked = f"{cell['lead_subset']} leads" + ("" if labels == ABSENT else f", {labels} labels")
        so_far = ", ".join(d for d in DOMAINS if d in domains) or "nothing"
        takes = f"{PRETRAINED}; a store of {cell['data']}; {TAKES[cell['protocol']]}"
        takes = takes.format(task=cell["task"].split("|")[0])
        rows.append((paper.PROTOCOLS[cell["protocol"]], cell["dataset"], asked, so_far, takes))
    loose = _loose(printed)
    for row in loose[loose["row"] != "MERL"].to_dict("records"):
        takes = next(text for table, text in TAKES_TABLE.items() if row["table"].startswith(table))
        asked = f"{row['row']}, {row['column']}"
        rows.append((row["table"], row["dataset"] or ABSENT, asked, "nothing", takes))
    return pd.DataFrame(rows, columns=["table", "dataset", "asked", "so_far", "takes"])


def joined(results: pd.DataFrame) -> pd.DataFrame:
    """Cells and our real records, one row each pair, with plain columns: what the CSV holds."""
    beside = paper.join(paper.cells(paper.published()), results)
    notes = ["" if _none(seen) else seen.note for seen in beside["our_provenance"]]
    folder = ["our_folder"] * ("our_folder" in beside)  # where records of several were gathered
    return beside.assign(our_note=notes)[[*_CELL, *_OURS, *folder, "our_note", "verdict"]]


def overview(results: pd.DataFrame) -> Table:
    """How far the reproduction is, a row per protocol: questions of the paper, results of ours.

    A question is a cell that one record can answer; results are counted by domain, and those of
    pre-trained encoders by where their interval lies against D-BETA's number, if that is known.
    """
    beside = paper.join(paper.cells(paper.published()), results)
    rows = []
    for protocol, of in beside.groupby("protocol", sort=False):
        cells, known = of.drop_duplicates("cell"), of["our_domain"]
        row = {"table": paper.PROTOCOLS[protocol], "questions": len(cells)}
        row["D-BETA's number known"] = int((cells["printed"] != "").sum())
        row |= {f"ours {domain}": int((known == domain).sum()) for domain in WORDS}
        row |= {verdict: int((of["verdict"] == verdict).sum()) for verdict in paper.VERDICTS}
        rows.append(row)
    demo = int(paper.is_demo(results).sum())
    caption = f"Results of ours by domain; {demo:,} demo results are not among them"
    return show(pd.DataFrame(rows), caption)


_CELL = [
    "protocol", "dataset", "data", "task", "label_fraction", "lead_subset", "printed", "number",
    "compared", "elsewhere",
]  # fmt: skip
_OURS = [f"our_{name}" for name in (
    "encoder", "variant", "protocol", "task", "metric", "profile", "switches", "pretraining_seed",
    "value", "low", "high", "level", "sd", "n", "n_train", "patients", "k_used", "k",
    "store_fingerprint", "date", "commit", "domain", "split_by", "file",
)]  # fmt: skip


def export(results: pd.DataFrame, out: Path | str) -> list[Path]:
    """Write `paper_tables.md`, `.tex` and `.csv` into a folder, and `demo_results.csv` if any.

    Raises UsageError where `out` is a file, DBetaError where the disk is full.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the tables")
    made = tables(results)
    texts = {"paper_tables.md": _markdown(made), "paper_tables.tex": _latex(made)}
    texts["paper_tables.csv"] = joined(results).to_csv(index=False, lineterminator="\n")
    if DEMO in made:
        demo = made[DEMO].frame
        texts["demo_results.csv"] = demo.to_csv(index=False, lineterminator="\n")
    for name, text in texts.items():
        with atomic_write(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [out / name for name in texts]


def _markdown(made: dict[str, Table]) -> str:
    parts = [
        "# The paper's tables and ours\n",
        *(f"## {t}\n\n{made[t].to_markdown()}" for t in made),
    ]
    return "\n".join(parts)


def _latex(made: dict[str, Table]) -> str:
    r"""Tables for a document with booktabs; T1 fonts, without which "<" and ">" print wrongly."""
    head = "% \\usepackage{booktabs} \\usepackage[T1]{fontenc} \\usepackage[utf8]{inputenc}\n"
    return "\n".join([head, *(f"% {title}\n{table.to_latex()}" for title, table in made.items())])


def _beside(of: pd.DataFrame, caption: str, more: str = "") -> Table:
    """Printed numbers and ours, a line for each of our encoders; those without share a line."""
    head = ["dataset", "labels", "leads", "D-BETA, printed", "others in the paper",
            "printed elsewhere", _ours_head(of), "against D-BETA", "our encoder", "rows",
            "pre-training read", "store and profile"]  # fmt: skip
    lines = []
    for row in of.to_dict("records"):
        cell = [row["dataset"], share(row["label_fraction"]), row["lead_subset"]]
        cell += [row[name] or ABSENT for name in ("printed", "compared", "elsewhere")]
        lines.append((*cell, *_ours(row)))
    # A column of one value says nothing, and these tables are wide.
    drop = {i for i in (1, 4, 5) if all(line[i] == ABSENT for line in lines)}
    keep = [i for i in range(len(head)) if i not in drop]
    rows = tuple(tuple(line[i] for i in keep) for line in lines)
    caption += f'. Points (x 100). "{ABSENT}": not run, or not known to be printed'
    caption += f". {more}" if more else ""
    return Table(tuple(head[i] for i in keep), rows, (False,) * len(keep), caption, of)


def _ours_head(of: pd.DataFrame) -> str:
    """ "ours [95 %]", with the level of the records."""
    levels = sorted(of["our_level"].dropna().unique())
    return f"ours [{' or '.join(f'{100 * level:g} %' for level in levels) or 'interval'}]"


def _ours(row: dict) -> list[str]:
    """Value, verdict, encoder, rows, what was read and where from; "--" where nothing was run."""
    if _none(row["our_encoder"]):
        return [ABSENT] * 6
    encoder = "control: " * row["control"] + row["our_encoder"]
    encoder += (
        "" if _none(row["our_pretraining_seed"]) else f", seed {row['our_pretraining_seed']:.0f}"
    )
    encoder += f" ({row['our_variant']})" if row["our_variant"] else ""
    rows = f"{row['our_n']:,.0f}"
    if not _none(row["our_n_train"]):
        rows += f" ({row['our_n_train']:,.0f} labelled to learn from)"
    where = f"{row['data']} {row['our_store_fingerprint'][:8]}: "
    where += f"{row['our_task']}, {row['our_protocol']}"
    where += f", profile {row['our_profile']}" if row["our_profile"] else ""
    where += f", kept in {row['our_folder']}" if row.get("our_folder") else ""
    value = _points(row["our_value"], row["our_low"], row["our_high"])
    return [value, row["verdict"] or ABSENT, encoder, rows, _read(row["our_provenance"]), where]


def _points(value: float, low: float, high: float) -> str:
    return format_interval(*(paper.POINTS * float(x) for x in (value, low, high)), 2, 2)


def _read(seen: Provenance) -> str:
    """The stores that pre-training read, what of the evaluated patients stood there, and notes."""
    if not seen.stores:
        return f"nothing; {seen.note}" if seen.note else "nothing"
    told = [" and ".join(sorted({store.split()[0] for store in seen.stores}))]
    told += ["evaluated patients' ECGs"] * bool(seen.signals_seen)
    told += ["their reports"] * bool(seen.reports_seen)
    told += ["reports of the training records"] * bool(seen.train_reports_seen)
    told += ["reports made from labels"] * bool(seen.label_derived_reports)
    told += [seen.note] if seen.note else []
    return ", ".join(told)


def _none(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _loose(printed: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper that no single record answers: means, derived numbers, ablations."""
    return printed[(printed["group"] == "paper") & (printed["protocol"] == "")]


def _unanswered(printed: pd.DataFrame) -> Table:
    lines = [
        (row["table"], row["row"], row["column"], paper.marked(row), ABSENT)
        for row in _loose(printed).to_dict("records")
    ]
    head = ("table", "row", "column", "printed", "ours")
    return Table(head, tuple(lines), (False,) * 5, "Ours would need several runs at once")


def _demo(results: pd.DataFrame) -> Table:
    """Demo results by themselves: a demonstration of the code, no evidence about patients."""
    names = ["data", "task", "protocol", "variant", "label_fraction", "lead_subset", "encoder",
             "against", "metric", "profile", "n", "value", "low", "high"]  # fmt: skip
    notes = [seen.note for seen in results["provenance"]]
    frame = results[[*names, "domain"]].assign(note=notes)
    frame = frame.sort_values(names[:8], kind="stable").reset_index(drop=True)
    lines = [
        (
            row["task"], row["protocol"] + (f", {row['variant']}" if row["variant"] else ""),
            share(row["label_fraction"]), row["lead_subset"],
            row["encoder"] + (f" - {row['against']}" if row["against"] else "")
            + (f" ({row['note']})" if row["note"] else ""), row["metric"],
            _points(row["value"], row["low"], row["high"]), f"{row['n']:,}",
            f"{row['data']}, profile {row['profile'] or 'not named'}",
        )
        for row in frame.to_dict("records")
    ]  # fmt: skip
    head = ("task", "protocol", "labels", "leads", "encoder", "metric", "demo [interval]", "rows",
            "store and profile")  # fmt: skip
    caption = "Demo: made data or a demo profile; comparable with no printed number. Points (x 100)"
    return Table(head, tuple(lines), (False,) * len(head), caption, frame)
