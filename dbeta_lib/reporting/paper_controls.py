"""Controls beside results of ours whose pre-training had read the probe's own reports.

Such a row may owe to the words what it seems to owe to the ECG. So the rows of the same question
and store stand under it that read nothing in pre-training: a random encoder, measurements by hand,
and a classifier that reads the report and no ECG.
"""

import pandas as pd

from dbeta_lib.evaluation.provenance import READS_REPORT, Provenance
from dbeta_lib.reporting import paper_numbers as paper


def with_controls(
    beside: pd.DataFrame, asked: pd.DataFrame, results: pd.DataFrame
) -> tuple[pd.DataFrame, str]:
    """The rows with controls under those that need them, marked in `control`; what to say of them.

    A row needs them where pre-training had read reports of the very records that the probe learns
    from: the untrained rows of the same cell and store.
    """
    beside = beside.assign(control=False)
    seen = beside["our_provenance"]
    needs = beside[[isinstance(one, Provenance) and bool(one.train_reports_seen) for one in seen]]
    wanted = set(zip(needs["cell"], needs["our_store_fingerprint"]))
    if not wanted:
        return beside, ""
    rest = paper.join(asked, results[results["domain"] == "untrained"]).assign(control=True)
    which = pd.Series(list(zip(rest["cell"], rest["our_store_fingerprint"])), rest.index)
    controls = rest[which.isin(wanted)]
    of_text = [one.note == READS_REPORT.note for one in controls["our_provenance"]]
    lacking = len(wanted - set(which[controls.index[of_text]]))
    told = "Controls read nothing in pre-training; they stand where it read reports of the records"
    told += " that the probe learns from"
    told += f". {lacking:,} such questions have no text-only row yet" if lacking else ""
    order = ["cell", "control"]
    return pd.concat([beside, controls]).sort_values(order, kind="stable", ignore_index=True), told
