"""The README's tables, written from kept result records and never by hand.

A block of the README lies between `<!-- begin NAME -->` and `<!-- end NAME -->`; `write` fills
every block from `benchmarks/results/NAME/`, and a test compares what stands there with what comes
out.
"""

import re
import shutil
from pathlib import Path

import pandas as pd

from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.results import load_all, without_digest
from dbeta_lib.files import atomic_write, read_json
from dbeta_lib.reporting.readme_speed import clock, cost, speed
from dbeta_lib.reporting.readme_sweeps import SYNTHETIC, render_leak, render_sweep
from dbeta_lib.reporting.tables import pivot, show

BLOCK = re.compile(r"(<!-- begin (\S+) -->\n)(.*?)(<!-- end \2 -->)", re.DOTALL)
TIMES, SWEEP = "times", "sweep-"
OTHERS = {"cost": cost, "speed": speed, "leak": render_leak}
# What decides a cell of the tables; runs of several seeds have the seed in the encoder's name.
_CELL = [
    "encoder", "task", "protocol", "metric", "label_fraction", "variant", "against", "lead_subset",
]  # fmt: skip
PUBLISHED_SETS = ("6", "3", "2", "1")  # as result records name sets of leads
FOLDED = "<details><summary>{}</summary>\n\n{}\n</details>\n"


def blocks(text: str) -> dict[str, str]:
    """Name and content of every block of a README."""
    return {match[2]: match[3] for match in BLOCK.finditer(text)}


def render(name: str, results: Path) -> str:
    """The Markdown of a block: run times, what a step costs and how fast it is by the benchmarks,
    the kept runs of the sweep X for `sweep-X` (on synthetic ECGs for `sweeps-demo-X`), or the
    tables of the records kept under the block's name.

    `NAME-seed0`, `NAME-seed1`, ... in place of `NAME` are runs that differ in their seed: they
    stand in one table. Raises DBetaError when nothing is kept for it, or when a run holds two
    records for one cell.
    """
    if name == TIMES:
        return _times(results)
    if name in OTHERS:
        return OTHERS[name](results)
    if name.startswith(SWEEP):
        return render_sweep(name.removeprefix(SWEEP), results)
    if name.startswith(f"{SYNTHETIC}-"):
        return render_sweep(name.removeprefix(f"{SYNTHETIC}-"), results, SYNTHETIC)
    frame = _runs(name, results)
    whole = frame[frame["lead_subset"] == "12"]
    # The task that notebooks tell their story with is asked in most ways.
    tasks = whole[whole["protocol"].isin(["zero-shot", "linear probe"])]["task"].value_counts()
    parts = [_of_task(whole, task) for task in tasks.index[:1]]
    others = [_of_task(whole, task) for task in sorted(tasks.index[1:])]
    parts += [FOLDED.format("The other label tasks", "\n".join(others))] if others else []
    more = [table for table in (_leads(frame), _fine_tuning(frame), _persons(frame)) if table]
    parts += [FOLDED.format("Fewer leads, fine-tuning, persons", "\n".join(more))] if more else []
    return "\n".join(parts)


def _of_task(frame: pd.DataFrame, task: str) -> str:
    of_task = frame[frame["task"] == task]
    zero_shot = of_task[of_task["protocol"] == "zero-shot"]
    probe = of_task[of_task["protocol"] == "linear probe"]
    scores = zero_shot[zero_shot["metric"] == "macro_auc"]
    parts = [_zero_shot(scores, task)] if len(scores) else []
    parts += [_probe(probe, task)] if len(probe) else []
    return "\n".join(parts)


def _runs(name: str, results: Path) -> pd.DataFrame:
    """The records of a run, or of all its seeds with the seed in the encoder's name."""
    if (results / name).is_dir():
        return _run(results / name)
    folders = sorted(results.glob(f"{name}-seed*"))
    if not folders:
        keep = results / name
        raise DBetaError(f"{keep} is not there; keep results in it: dbeta report --keep {keep}")
    frame = pd.concat(
        [_run(folder).assign(run=folder.name.removeprefix(f"{name}-")) for folder in folders],
        ignore_index=True,
    )
    cells = frame.groupby(_CELL, dropna=False)["value"]
    alike = (cells.transform("nunique") == 1) & (cells.transform("size") == len(folders))
    by_seed = ~frame["encoder"].isin(frame.loc[alike, "encoder"])
    frame.loc[by_seed, "encoder"] += ", " + frame.loc[by_seed, "run"].str.replace("seed", "seed ")
    return frame.drop_duplicates([*_CELL, "value"])


def _run(folder: Path) -> pd.DataFrame:
    """The records of one run, the prompts' digest taken off their names.

    Raises DBetaError where two records would be averaged in one cell: one of them is stale, unless
    they differ in the seed of pre-training.
    """
    frame = load_all(folder)
    frame["variant"] = frame["variant"].map(without_digest)
    cell = [*_CELL, "pretraining_seed"]
    twice = frame[frame.duplicated(cell, keep=False)]
    if len(twice):
        first = twice.iloc[0]
        same = twice[cell].apply(lambda row: row.equals(twice[cell].iloc[0]), axis=1)
        raise DBetaError(
            f"{folder} answers one question twice ({first['encoder']}, {first['task']}, "
            f"{first['protocol']}): {' and '.join(twice.loc[same, 'file'])}; "
            "delete the older there and in the run's results"
        )
    return frame


def _zero_shot(frame: pd.DataFrame, task: str) -> str:
    title = f"Zero-shot, {task}, macro AUC [95 %], n = {frame['n'].iloc[0]:,}:"
    frame = frame.sort_values(["variant", "encoder"]).assign(prompts=frame["variant"])
    table = pivot(frame, rows="prompts", columns="encoder", interval_digits=3)
    return f"{title}\n\n{table.to_markdown()}\n"


def _probe(frame: pd.DataFrame, task: str) -> str:
    shares = frame.drop_duplicates("label_fraction").sort_values("label_fraction")
    counts = ", ".join(f"{n:,.0f}" for n in shares["n_train"])
    title = (
        f"Linear probe, {task}, macro AUC [95 %] at {counts} labelled training records, "
        f"n = {frame['n'].iloc[0]:,}; a gain is a paired difference:"
    )
    scores = frame[frame["metric"] == "macro_auc"].sort_values("value", ascending=False)
    gains = frame[(frame["metric"] == "macro_auc_gain") & (frame["against"] == "random encoder")]
    trained = gains["encoder"].str.replace("pre-trained", "gain over the random encoder")
    table = pivot(pd.concat([scores, gains.assign(encoder=trained)]), interval_digits=3)
    return f"{title}\n\n{table.to_markdown()}\n"


def _leads(frame: pd.DataFrame) -> str:
    """Macro AUC of the pre-trained model with fewer leads, a column per set but single leads."""
    asked = frame["protocol"].isin(["zero-shot", "linear probe"]) & (frame["metric"] == "macro_auc")
    fewer = frame[asked & (frame["lead_subset"] != "12")]
    is_set = fewer["lead_subset"].map(lambda leads: leads.isdigit() or "," in leads)
    fewer = fewer[is_set.astype(bool) & fewer["encoder"].str.contains("pre-trained")]
    if fewer.empty:
        return ""
    rows = [(f"{p}, {v}" if v else p) for p, v in zip(fewer["protocol"], fewer["variant"])]
    names = sorted(fewer["lead_subset"].unique())
    sets = [s for s in PUBLISHED_SETS if s in names] + [s for s in names if not s.isdigit()]
    fewer = fewer.assign(leads=fewer["lead_subset"], asked=rows)
    fewer = fewer.sort_values("leads", key=lambda s: s.map(sets.index), kind="stable")
    several = ["encoder", "asked"] if fewer["encoder"].nunique() > 1 else "asked"
    table = pivot(fewer, rows=several, columns="leads", interval_digits=3)
    title = "With fewer leads, macro AUC [95 %] (6: limbs; 3: I, II, V2; 2: I, II; 1: I):"
    return f"{title}\n\n{table.to_markdown()}\n"


def _fine_tuning(frame: pd.DataFrame) -> str:
    """Macro AUC of networks whose every weight learnt from labels."""
    tuned = frame[(frame["protocol"] == "full fine-tuning") & (frame["metric"] == "macro_auc")]
    if tuned.empty:
        return ""
    first = tuned.iloc[0]
    title = (
        f"Full fine-tuning, {first['task']}, {first['n_train']:,.0f} labelled training records, "
        f"macro AUC [95 %], n = {first['n']:,}, by leads:"
    )
    order = ("12", *PUBLISHED_SETS)
    tuned = tuned.sort_values(
        "lead_subset", key=lambda s: s.map(lambda x: order.index(x) if x in order else 9),
        kind="stable",
    )  # fmt: skip
    table = pivot(tuned, rows=["encoder", "variant"], columns="lead_subset", interval_digits=3)
    return f"{title}\n\n{table.to_markdown()}\n"


def _persons(frame: pd.DataFrame) -> str:
    """Patient identification: the three scores of each kind of features."""
    persons = frame[frame["protocol"] == "identification"]
    if persons.empty:
        return ""
    title = f"Identification, {persons['n'].iloc[0]:,} test patients with two ECGs [95 %]:"
    table = pivot(persons, rows=["encoder", "variant"], columns="metric", interval_digits=3)
    return f"{title}\n\n{table.to_markdown()}\n"


def _times(results: Path) -> str:
    """Minutes and seconds per notebook and run whose times were kept, and of all its notebooks."""
    columns = {path.stem: read_json(path) for path in sorted((results / TIMES).glob("*.json"))}
    if not columns:
        raise DBetaError(f"{results / TIMES} holds no run; keep one: dbeta report --keep")
    names = sorted({name for times in columns.values() for name in times})
    rows = [
        {"notebook": name} | {run: _clock(times.get(name)) for run, times in columns.items()}
        for name in names
    ]
    sums = {run: sum(t for t in times.values() if t is not None) for run, times in columns.items()}
    rows.append({"notebook": "all"} | {run: _clock(seconds) for run, seconds in sums.items()})
    return show(pd.DataFrame(rows)).to_markdown() + "\n"


def _clock(seconds: float | None) -> str:
    return "-" if seconds is None else clock(seconds)


def filled(text: str, results: Path) -> str:
    """The README's text with every block made anew."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{render(m[2], results)}\n{m[4]}", text)


def write(readme: Path, results: Path) -> None:
    """Fill the blocks of a README file from the kept records."""
    text = filled(readme.read_text(encoding="utf-8"), results)
    with atomic_write(readme) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy_figures(readme: Path, figures: Path) -> list[str]:
    """Copy the figures that a README shows from a run's folder, each with its drawing and table.

    Those that the run does not have are left as they are. Returns the names copied.
    """
    text = readme.read_text(encoding="utf-8")
    copied = []
    for name in re.findall(r"\]\(figures/([\w-]+)\.png\)", text):
        for path in sorted(figures.glob(f"{name}.*")):
            (readme.parent / "figures").mkdir(exist_ok=True)
            shutil.copyfile(path, readme.parent / "figures" / path.name)
            copied += [name] if path.suffix == ".png" else []
    return copied
