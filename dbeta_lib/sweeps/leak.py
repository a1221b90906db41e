"""What the released collator teaches: matching with its leak, with the leak closed, and controls.

In the official code a wrong pair is the record's own text beneath the padding mask of another
(`training.batches`). A model trained so is asked about such pairs and about honest wrong texts, one
trained with the leak closed about honest ones.
"""

import pandas as pd

from dbeta_lib.sweeps.compare import Comparison

LEAKING, CLOSED = "released leak", "N3S"  # rows of the sweep `negatives`
ASKED = {
    (LEAKING, "leak"): "leak, asked about leaking pairs",
    (LEAKING, "far"): "leak, asked about far texts",
    (CLOSED, "far"): "leak closed, asked about far texts",
    (CLOSED, "random"): "leak closed, asked about random texts",
}


def leak_table(compared: Comparison) -> pd.DataFrame:
    """Of the sweep `negatives`: columns trained with, accuracy, shuffled, from the ECG.

    Shares 0..1 of right matching decisions, the same with other patients' ECGs, and the difference.
    Empty unless both rows are finished.
    """
    found = compared.matching().set_index(["name", "texts"])
    if not all(key in found.index for key in ASKED):
        return pd.DataFrame(columns=["trained with", "accuracy", "shuffled", "from the ECG"])
    table = found.loc[list(ASKED), ["accuracy", "shuffled"]].reset_index(drop=True)
    table.insert(0, "trained with", list(ASKED.values()))
    return table.assign(**{"from the ECG": table["accuracy"] - table["shuffled"]})
