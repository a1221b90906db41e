"""What others have published, from `paper_results.csv`, and which of our records answers it.

The CSV holds facts only, a number a row, and is the one place of the kit where they stand:

    table, row, column, dataset, metric, value   the printed cell, word for word
    source                                       where it was read
    doubt_grade, doubt                           "high" or "some", and why; empty: none known
    group          "paper" (D-BETA's own tables), "elsewhere" (printed by others), "facts"
    data, task, protocol, our_metric, label_fraction, lead_subset
                   the result record that asks the same question; all empty where none can. Several
                   tasks that do are joined by "|", label_fraction is empty without a probe

The D-BETA paper (ICML 2025, arXiv 2410.02131) was not at hand: its numbers come from a summary and
from papers that quote it, which is why so many carry a doubt. They are printed in points (x 100).
Not taken over are the epochs of a training log of the DERI kit: no published table has them.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.results import load_all

PATH = Path(__file__).with_name("paper_results.csv")
POINTS = 100  # printed numbers are 100 times the values of result records
KEYS = ["data", "task", "protocol", "our_metric", "label_fraction", "lead_subset"]
COLUMNS = [
    "table", "row", "column", "dataset", "metric", "value", "source", "doubt_grade", "doubt",
    "group", *KEYS,
]  # fmt: skip
SYNTHETIC = "synthetic"  # name of the store that the kit makes itself
DEMO_PROFILES = ("demo", "smoke")
DATASETS = {  # order of the tables; "|" as in the CSV
    ("ptb-xl", "super"): "PTB-XL Super",
    ("ptb-xl", "sub"): "PTB-XL Sub",
    ("ptb-xl", "form"): "PTB-XL Form",
    ("ptb-xl", "rhythm"): "PTB-XL Rhythm",
    ("cpsc2018", "cpsc2018"): "CPSC2018",
    ("csn", "csn|csn-merl"): "CSN",
    ("code-test", "gold"): "CODE-test",
    ("cinc2021", "cinc2021"): "CinC 2021",
    ("ptb-xl", "identification"): "PTB-XL patients",
}
PROTOCOLS = {  # name in result records -> title
    "linear probe": "Linear probe",
    "zero-shot": "Zero-shot",
    "full fine-tuning": "Full fine-tuning",
    "identification": "Patient identification",
}
DIFFERENCE = "Gain"  # a row of the paper that is no model: D-BETA minus the other
_SOME_CLASSES = r"\d+ of \d+ classes"  # in the variant: texts were there for these alone
VERDICTS = ("ours contains it", "ours is higher", "ours is lower")


def published(path: Path | str = PATH) -> pd.DataFrame:
    """All printed numbers as text, columns `COLUMNS`, with `note`: number of the doubt, or 0.

    Raises DBetaError naming the file where it is absent or of another form.
    """
    path = Path(path)
    if not path.is_file():
        raise DBetaError(f"{path} is not there; install the kit again")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DBetaError(f"{path} is damaged ({error}); install the kit again") from error
    if list(frame.columns) != COLUMNS:
        raise DBetaError(f"{path} has other columns than {', '.join(COLUMNS)}; install it again")
    keyed = frame[frame["protocol"] != ""]
    pairs = zip(keyed["data"], keyed["task"], keyed["protocol"])
    strange = [p for p in pairs if p[:2] not in DATASETS or p[2] not in PROTOCOLS]
    if strange:
        raise DBetaError(f"{path} asks for {' '.join(strange[0])}, which the kit does not name")
    texts = {text: i for i, text in enumerate(frame["doubt"][frame["doubt"] != ""].unique(), 1)}
    return frame.assign(note=frame["doubt"].map(texts).fillna(0).astype(int))


def notes(frame: pd.DataFrame) -> pd.DataFrame:
    """The doubts about printed cells that the tables refer to: columns note, doubt."""
    doubted = frame[frame["note"] > 0].drop_duplicates("note")
    return doubted[["note", "doubt"]].reset_index(drop=True)


def marked(row: dict) -> str:
    """The value as it is printed, with its note, as `VALUE (doubtful, note 3)`."""
    if not row["note"]:
        return row["value"]
    grave = "doubtful, " if row["doubt_grade"] == "high" else ""
    return f"{row['value']} ({grave}note {row['note']})"


def compared(row: dict) -> str:
    """A number of another model with its name; a difference is said to be one."""
    if row["row"] == DIFFERENCE:
        return f"(a difference: D-BETA's gain {marked(row)})"
    return f"{row['row']} {marked(row)}"


def number(text: str) -> float:
    """A printed number in the unit of result records (0..1); NaN for words, "about" and "over"."""
    plain = re.fullmatch(r"\d+(\.\d+)?", text)
    return float(text) / POINTS if plain else math.nan


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The questions that a result record can answer, in the order of the tables; a row each.

    Columns: `KEYS` (task with its "|", label_fraction a float or NaN), `dataset`, `printed` (what
    D-BETA's paper has, "" where it is not known), `number` (0..1 or NaN), `compared` (the other
    models of that paper) and `elsewhere` (what others have printed, as a range).
    """
    keyed = frame[frame["protocol"] != ""]
    rows = []
    for key, group in keyed.groupby(KEYS, sort=False):
        paper = group[group["group"] == "paper"]
        own = paper["row"].map(is_dbeta)
        printed = paper[own].to_dict("records")
        facts = dict(zip(KEYS, key))
        facts["label_fraction"] = float(key[4]) if key[4] else math.nan
        facts["dataset"] = DATASETS[key[:2]]
        facts["printed"] = "; ".join(map(marked, printed))
        facts["number"] = number(printed[0]["value"]) if len(printed) == 1 else math.nan
        facts["compared"] = "; ".join(map(compared, paper[~own].to_dict("records")))
        facts["elsewhere"] = _range(group[group["group"] == "elsewhere"])
        rows.append(facts)
    table = pd.DataFrame(rows, columns=[*KEYS, "dataset", *_TEXTS])
    protocols, tasks = list(PROTOCOLS), list(DATASETS)
    table["_protocol"] = table["protocol"].map(protocols.index)
    table["_task"] = [tasks.index(pair) for pair in zip(table["data"], table["task"])]
    table["_leads"] = -table["lead_subset"].astype(int)
    order = ["_protocol", "_task", "label_fraction", "_leads"]
    return table.sort_values(order, kind="stable")[table.columns[:-3]].reset_index(drop=True)


_TEXTS = ["printed", "number", "compared", "elsewhere"]


def is_dbeta(row: str) -> bool:
    """Whether a row of the paper is D-BETA itself (first called C-MELT)."""
    return row.startswith("D-BETA")


def _range(group: pd.DataFrame) -> str:
    """`"11 numbers, LOWEST to HIGHEST"`: what others have printed for one cell; or the only one."""
    if group.empty:
        return ""
    if len(group) == 1:
        row = group.iloc[0]
        return f"{row['row']} {marked(row)}"
    values = sorted(group["value"], key=float)
    return f"{len(values)} numbers, {values[0]} to {values[-1]}"


def is_demo(results: pd.DataFrame) -> pd.Series:
    """bool per record: measured on made data, or in a profile that shows and proves nothing."""
    return (results["data"] == SYNTHETIC) | results["profile"].isin(DEMO_PROFILES)


def gather(own: Path | str, more: Sequence[Path | str] = ()) -> pd.DataFrame:
    """The records of a run's folder and of further ones, as `load_all` gives them, and `folder`.

    `folder` is where a record lies: "ptbxl" for runs/ptbxl/results. A record that stands in several
    folders (the same question, store, weights and numbers) counts once, for the first of them.
    `own` may be empty. Raises DBetaError where a folder is not there or a record is damaged,
    UsageError where a further folder holds no record.
    """
    frames = [load_all(folder) for folder in (own, *more)]
    for folder, frame in zip(more, frames[1:]):
        if frame.empty:
            raise UsageError(f"{folder} holds no result record; name a folder such as results/")
    rows = [
        {**row, "folder": run_name(folder)}
        for folder, frame in zip((own, *more), frames)
        for row in frame.to_dict("records")
    ]
    table = pd.DataFrame(rows, columns=[*frames[0].columns, "folder"])
    same = ["file", "weights_hash", "value", "low", "high"]
    return table.drop_duplicates(same).reset_index(drop=True)


def run_name(folder: Path | str) -> str:
    """`runs/ptbxl/results` -> `ptbxl`, any other folder by its own name."""
    folder = Path(folder).resolve()
    return folder.parent.name if folder.name == "results" else folder.name


def join(cells: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Every real record of `load_all` beside the cell that asks its question; every cell stays.

    Columns: those of `cells`, `cell` (its row there), the record's fields as `our_...` with NaN
    where nothing was run, `verdict` (see there). A record answers a cell if data, task, protocol
    (without what stands after a comma or bracket), metric, share of labels and leads are the same.
    Gains, demo results, those of the best test epoch or of part of a task's classes, and
    identification by frozen features answer none.
    """
    # What was chosen on the test split is no reproduction of anything, whatever others print.
    flattered = results["protocol"].str.endswith("best test epoch")
    # The printed identification trains the whole encoder; frozen features answer another question.
    frozen = (results["protocol"] == "identification") & ~results["variant"].str.contains("whole")
    partial = results["variant"].str.contains(_SOME_CLASSES)
    left_out = is_demo(results) | flattered | frozen | partial
    real = results[~left_out].reset_index(drop=True)
    protocols = real["protocol"].map(base_protocol)
    pairs = []
    for i, cell in cells.iterrows():
        fits = (
            (real["data"] == cell["data"])
            & real["task"].isin(cell["task"].split("|"))
            & (protocols == cell["protocol"])
            & (real["metric"] == cell["our_metric"])
            & (real["lead_subset"] == cell["lead_subset"])
            & same_share(real["label_fraction"], cell["label_fraction"])
        )
        pairs += [(i, j) for j in real.index[fits]] or [(i, -1)]
    of, ours = zip(*pairs)
    left = cells.drop(columns="our_metric").loc[list(of)].reset_index(names="cell")
    # No record has the label -1: reindexing makes a row of NaN of it.
    joined = left.join(real.reindex(list(ours)).reset_index(drop=True).add_prefix("our_"))
    numbers = joined[["number", "our_low", "our_high"]].astype(float).itertuples(index=False)
    said = [verdict(*three) for three in numbers]
    verdicts = ["" if d == "untrained" else v for v, d in zip(said, joined["our_domain"])]
    order = ["cell", "our_n", "our_value"]  # large stores first, then the best
    return joined.assign(verdict=verdicts).sort_values(
        order, ascending=[True, False, False], kind="stable", ignore_index=True
    )


def base_protocol(name: str) -> str:
    """`"linear probe, MERL's recipe"` -> `"linear probe"`."""
    return re.split(r"[,(]", name, maxsplit=1)[0].strip()


def same_share(shares: pd.Series, share: float) -> pd.Series:
    """Whether shares of labels are `share`; NaN is the same as NaN.

    A draw is a whole number of rows, so a recorded share may differ in its third digit.
    """
    shares = shares.astype(float)
    return shares.isna() if math.isnan(share) else (shares - share).abs() <= 0.02 * share


def verdict(number: float, low: float, high: float) -> str:
    """Where our interval lies against a printed number of D-BETA; "" where either is not known.

    An encoder that was never trained gets none: it is not asked whether it reproduces the paper.
    """
    if any(math.isnan(x) for x in (number, low, high)):
        return ""
    contains, higher, lower = VERDICTS
    if low <= number <= high:
        return contains
    return higher if low > number else lower
