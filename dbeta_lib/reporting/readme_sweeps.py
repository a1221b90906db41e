"""The README's tables of a kept sweep: what each row reaches, and the verdicts.

Read from `benchmarks/results/sweeps/` (real ECGs) and `sweeps-demo/` (synthetic ones), as `dbeta
sweep FILE --keep FOLDER` fills them, and computed anew each time: nothing in between is typed.
"""

from pathlib import Path

import pandas as pd

from dbeta_lib.evaluation.verdict import sentence
from dbeta_lib.reporting.tables import format_interval, pivot, show
from dbeta_lib.sweeps import QUESTIONS, Comparison, leak_table, read_runs
from dbeta_lib.sweeps.pairs import AGAINST, pairs_of

FOLDER, RESAMPLES = "sweeps", 1000
SYNTHETIC = "sweeps-demo"  # beside FOLDER, of the demo's cohort
ASKED = ("probe_10", "zero_shot")  # what verdicts are shown of
ALL_LABELS = ("central",)  # sweeps that are asked with all labels too, where supervision is best
DRAWING = ("central", "components", "comparisons")  # of which is told whether MEM has learnt


def render_sweep(name: str, results: Path, folder: str = FOLDER) -> str:
    """Markdown of the sweep `name` of `results`/`folder`. Raises DBetaError where none is kept."""
    compared = Comparison(read_runs(results / folder, name), RESAMPLES)
    against = f", each against {AGAINST[name]}" if name in AGAINST else ""
    pairs = pairs_of(name, compared.names)
    asked = ("probe_10", "probe_100", "zero_shot") if name in ALL_LABELS else ASKED
    parts = [
        _levels(compared), _matching(compared), _mem(compared) if name in DRAWING else "",
        _verdicts(compared, pairs, against, asked), _codes(compared),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def render_leak(results: Path) -> str:
    """Markdown of the released collator's leak, on real and on synthetic ECGs."""
    parts = []
    for folder in (FOLDER, SYNTHETIC):
        compared = Comparison(read_runs(results / folder, "negatives"), RESAMPLES)
        facts = compared.runs[0].facts
        title = f"{facts['data']}, {facts['steps']} steps of {facts['batch_size']}"
        table = leak_table(compared).assign(data=title)
        parts.append(table[["data", *table.columns[:-1]]])
    told = pd.concat(parts, ignore_index=True)
    return show(told, digits=3).to_markdown() + "\n"


def _levels(compared: Comparison) -> str:
    facts = [run.facts for run in compared.runs]
    trained = next((f for f in facts if f["model"] == "dbeta"), facts[0])
    counts = {name: sum(f["name"] == name for f in facts) for name in compared.names}
    most = max(counts.values())
    fewer = ", ".join(f"{name}: {n}" for name, n in counts.items() if n < most)
    seeds = f"{most} seed{'s' * (most > 1)}{f' ({fewer})' if fewer else ''}"
    levels = compared.levels().replace({"question": QUESTIONS})
    table = pivot(levels, rows="name", columns="question", interval_digits=3)
    title = (
        f"{trained['data']}, {trained['task']}, {trained['steps']} steps of "
        f"{trained['batch_size']}, {seeds}, n = {_rows(compared):,}; macro AUC [95 % over "
        f"patients{' and seeds' * (most > 1)}]:"
    )
    return f"{title}\n\n{table.to_markdown()}\n"


def _rows(compared: Comparison) -> int:
    return len(compared.runs[0].scores["record_id"])


def _matching(compared: Comparison) -> str:
    """Shares of right matching decisions, and in brackets those with other patients' ECGs."""
    found = compared.matching()
    if found.empty:
        return ""
    found["told"] = [f"{a:.3f} ({s:.3f})" for a, s in zip(found["accuracy"], found["shuffled"])]
    wide = found.pivot(index="name", columns="texts", values="told").loc[found["name"].unique()]
    heads = {"random": "random wrong reports", "far": "the farthest reports", "leak": "leaking"}
    wide = wide[[column for column in heads if column in wide]].rename(columns=heads)
    table = show(wide.rename_axis("name").reset_index())
    title = "Matching a report and an ECG, share right, and (with shuffled ECGs):"
    return f"{title}\n\n{table.to_markdown()}\n"


def _mem(compared: Comparison) -> str:
    """The loss of MEM where training ended, beside that of drawing nothing."""
    rows: dict[str, list[str]] = {}
    flat = set()
    for run in compared.runs:
        loss = run.facts.get("losses", {}).get("mem")
        config = run.facts["identity"]["config"]
        by_lead = config["mem"]["mem_scaling"] == "lead"
        if loss is None or not by_lead or not config["objective"]["mem_weight"]:
            continue
        # Squares of z-scores: 1 for a lead that is there, 0 for one that was dropped.
        flat.add(f"{1 - config['objective']['lead_dropout']:.2f}")
        rows.setdefault(run.name, []).append(f"{loss:.2f}")
    if len(flat) != 1:
        return ""
    told = "; ".join(f"{name} {', '.join(losses)}" for name, losses in rows.items())
    return (
        f"The loss of MEM at the last step, by seed; a flat line has {flat.pop()}, so a row there "
        f"has learnt to draw nothing yet: {told}.\n"
    )


def _codes(compared: Comparison) -> str:
    """Which rows were made by another version of the library's code than the first one."""
    first: dict[str, str] = {}
    others: dict[str, None] = {}
    for run in compared.runs:
        code = run.facts["identity"]["code"]
        if first.setdefault(run.facts["model"], code) != code:
            others[run.name] = None
    if not others:
        return ""
    return (
        f"\nMade by another version of the library's code than the others: {', '.join(others)}.\n"
    )


def _verdicts(
    compared: Comparison,
    pairs: dict[str, tuple[str, str]],
    against: str,
    asked: tuple[str, ...] = ASKED,
) -> str:
    rows: dict[str, dict[str, str]] = {}
    told = {question: compared.verdicts(pairs, question) for question in asked}
    if not any(len(one) for one in told.values()):
        return f"Nothing to compare yet: not run are {', '.join(compared.missing(pairs))}.\n"
    for question, verdicts in told.items():
        for what, row in verdicts.iterrows():
            shown = format_interval(row["value"], row["low"], row["high"], interval_digits=3)
            hint = ", exploratory" if row["exploratory"] else ""
            rows.setdefault(what, {"what": what})[QUESTIONS[question]] = (
                f"{row['verdict']}{hint}: {shown}, p = {row['p_holm']:.2g}"
            )
    table = show(pd.DataFrame(list(rows.values())).fillna("–"))
    paired = "paired by seed and patient"
    if max(row["seeds"] for one in told.values() for _, row in one.iterrows()) == 1:
        paired = "paired by patient (of these trainings: nothing is known of other seeds)"
    title = f"Verdicts{against}: difference in macro AUC, {paired}, Holm's p over the column:"
    words = [f"{QUESTIONS[question]}: {sentence(one)}" for question, one in told.items()]
    words = " ".join(one[0].upper() + one[1:] for one in words)
    return f"{title}\n\n{table.to_markdown()}\n\n{words}\n"
