"""Which rows of the kit's sweeps are set against each other: what is asked -> (with it, without).

Verdicts of one sweep and question form one table, and Holm's correction counts all of its rows, so
what is compared is written down here and not chosen after looking. (One pair was changed after a
first look, since it was unfair: "full - MEM" has no steps of MEM alone, so what it is set against
has none either.)
"""

from collections.abc import Iterable

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
            for part in ("ETS", "N3S", "ETM", "MLM")
        },
        "MEM, in the full model": ("full, no steps of MEM alone", "full - MEM"),
    },
    "augmentations": {
        **{
            name: (name, "none")
            for name in (
                "time shift", "lead dropout 0.3", "lead dropout 0.5", "lead subsets",
                "baseline wander", "muscle noise", "amplitude scaling",
            )
        },
        "shift and dropout, as recommended": ("recommended", "none"),
        "all noises, on top of these": ("all noises", "recommended"),
        "mains hum, at 250 Hz": ("mains hum, 250 Hz", "none, 250 Hz"),
    },
}  # fmt: skip

# In the other sweeps each row is set against this one.
AGAINST = {
    "negatives": "N3S", "comparisons": "D-BETA", "text_encoders": "T5 tiny",
    "switches": "recommended",
}  # fmt: skip
CONTROLS = ("text alone",)  # reads the reports of the test records: no rival


def pairs_of(sweep: str, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """What is compared in a sweep of the kit, of whose rows `names` are finished."""
    if sweep in PAIRS:
        return PAIRS[sweep]
    return {name: (name, AGAINST[sweep]) for name in names
            if name not in (AGAINST[sweep], *CONTROLS)}  # fmt: skip
