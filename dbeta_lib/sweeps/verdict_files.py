"""Tables of verdicts on disk: one JSON for each table, since Holm's p belongs to the whole of it.

Like a result record it says what was compared, on which data and rows, by which versions, and it is
what figures and prose quote. `<folder>/<sweep>-<question>.json`: the same question of the same
sweep replaces its table.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.results import versions
from dbeta_lib.evaluation.verdict import COLUMNS, VERDICTS
from dbeta_lib.files import read_json, write_json
from dbeta_lib.sweeps.compare import QUESTIONS, Comparison
from dbeta_lib.sweeps.spec import slug

FORMAT = 1
_ABOUT = ("sweep", "data", "store_fingerprint", "task", "profile")
_ROWS = ("with", "without", *COLUMNS)


def save_verdicts(
    compared: Comparison, table: pd.DataFrame, folder: Path | str, title: str = ""
) -> Path:
    """Write a table of `Comparison.verdicts`, whole or not at all. title: tells tables of one
    sweep and question apart ("left out"). Raises DBetaError for an empty table."""
    if not len(table):
        raise DBetaError("a table of verdicts without rows says nothing; it is not kept")
    facts, question = compared.runs[0].facts, table["question"].iloc[0]
    rows = [
        {"row": row, **{name: values[name] for name in _ROWS}} for row, values in table.iterrows()
    ]
    known = {
        "format": FORMAT, **{name: facts[name] for name in _ABOUT}, "title": title,
        "question": question, "metric": "difference in macro AUC", "tests": len(table),
        "steps": sorted({run.facts["steps"] for run in compared.runs if run.facts["steps"]}),
        "rows": [_plain(row) for row in rows], "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip
    name = "-".join(filter(None, (slug(facts["sweep"]), slug(title), slug(question))))
    path = Path(folder) / f"{name}.json"
    write_json(path, known)
    return path


def load_verdicts(path: Path | str) -> tuple[dict[str, Any], pd.DataFrame]:
    """What a table is about, and the table. Raises DBetaError naming a file that is none."""
    found = read_json(path)
    remedy = "delete it and run notebook 08 again"
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DBetaError(f"{path} is no table of verdicts of this version; {remedy}")
    absent = [name for name in (*_ABOUT, "question", "rows") if name not in found]
    if absent or found["question"] not in QUESTIONS or not found["rows"]:
        told = f"has no '{absent[0]}'" if absent else "has no rows, or an unknown question"
        raise DBetaError(f"{path} {told}; {remedy}")
    rows = found.pop("rows")
    for row in rows:
        if set(row) != {"row", *_ROWS} or row["verdict"] not in VERDICTS:
            raise DBetaError(f"{path} holds a row that is no verdict; {remedy}")
        row["per_seed"] = tuple(row["per_seed"])
    table = pd.DataFrame(rows).set_index("row")
    table.insert(2, "question", found["question"])
    return found, table


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON values; NaN becomes null."""
    plain = {}
    for name, value in row.items():
        value = value.item() if hasattr(value, "item") else value
        value = list(value) if isinstance(value, tuple) else value
        plain[name] = None if isinstance(value, float) and value != value else value
    return plain
