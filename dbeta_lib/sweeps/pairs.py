"""Which rows of the kit's sweeps are set against each other: what is asked -> (with it, without).

Verdicts of one sweep and question form one table, and Holm's correction counts all of its rows, so
what is compared is written down here and not chosen after looking.
"""

PAIRS: dict[str, dict[str, tuple[str, str]]] = {
    "central": {
        "ETS": ("+ ETS", "baseline"),
        "N3S": ("+ N3S", "+ ETS"),
        "balanced in the place of N3S": ("+ balanced", "+ N3S"),
        "reports, against MEM alone": ("+ N3S", "ECG only"),
        "pre-training": ("+ N3S", "random encoder"),
        "full model, against labels alone": ("+ N3S", "supervised"),
    },
    "components": {
        "ETS, to the baseline": ("+ ETS", "baseline"),
        "N3S, to that": ("+ N3S", "+ ETS"),
        "T5 for BERT, to that": ("full", "+ N3S"),
        "InfoNCE for ETS": ("full with InfoNCE", "full"),
        **{
            f"{part}, in the full model": ("full", f"full - {part}")
            for part in ("ETS", "N3S", "ETM", "MLM", "MEM")
        },
    },
}
