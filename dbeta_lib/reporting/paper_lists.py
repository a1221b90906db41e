"""Printed numbers that stand beside the paper's tables: other models, facts and claims."""

import math

import pandas as pd

from dbeta_lib.reporting import paper_numbers as paper
from dbeta_lib.reporting.tables import Table

ABSENT = "--"


def share(fraction: float | None) -> str:
    """`0.01` -> `"1 %"`, "--" where no labels are learnt from."""
    return ABSENT if fraction is None or math.isnan(fraction) else f"{100 * fraction:.3g} %"


def facts(printed: pd.DataFrame) -> Table:
    """How D-BETA was trained, how large the models are, and what is claimed."""
    return _listed(printed[printed["group"] == "facts"], "as they are told")


def elsewhere(printed: pd.DataFrame) -> dict[str, Table]:
    """Linear probes printed by others, models x datasets per share of labels; then the rest."""
    others = printed[printed["group"] == "elsewhere"]
    probes = others[others["protocol"] == "linear probe"]
    made = {}
    for part in sorted(probes["label_fraction"].unique(), key=float):
        of = probes[probes["label_fraction"] == part]
        title = f"Linear probe printed elsewhere, {share(float(part))} of labels"
        made[title] = _models(of)
    made["Other numbers printed elsewhere"] = _listed(
        others[others["protocol"] != "linear probe"], "as they are printed"
    )
    return made


def _models(of: pd.DataFrame) -> Table:
    """Models x datasets, the printed cell with its note; macro AUC."""
    datasets = [d for d in paper.DATASETS if d in set(zip(of["data"], of["task"]))]
    lines = []
    for (model, table), group in of.groupby(["row", "table"], sort=False):
        by = {(row["data"], row["task"]): paper.marked(row) for row in group.to_dict("records")}
        lines.append((model, table, *(by.get(dataset, ABSENT) for dataset in datasets)))
    head = ("model", "table", *(paper.DATASETS[dataset] for dataset in datasets))
    return Table(head, tuple(lines), (False,) * len(head), "Macro AUC in points")


def _listed(rows: pd.DataFrame, caption: str) -> Table:
    head = ("table", "row", "column", "dataset", "metric", "printed", "source")
    lines = [
        (*(row[name] or ABSENT for name in head[:5]), paper.marked(row), row["source"])
        for row in rows.to_dict("records")
    ]
    return Table(head, tuple(lines), (False,) * len(head), f"Numbers {caption}")
