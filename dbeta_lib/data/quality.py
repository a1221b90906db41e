"""What may be wrong with recordings, found fast enough for every record of a preparation.

Each check is a rule with a published or a physical reason, conservative on purpose: on the 2,000
PTB-XL records that they were measured with, about two in a hundred meet one that `spoils`. A
finding is a hint to look at the recording, never a diagnosis: a rare heart may break a rule too.
The rules stand in `quality_samples` (of each lead's samples) and `quality_leads` (of what the leads
say together).
"""

import numpy as np

from dbeta_lib.data import quality_leads as leads
from dbeta_lib.data import quality_samples as samples
from dbeta_lib.data.beats import find_beats
from dbeta_lib.data.finding import Finding, view
from dbeta_lib.data.recordings import Recordings
from dbeta_lib.data.signals import MIN_SECONDS
from dbeta_lib.data.wfdb_header import Header

NAMES = (
    "length", "gaps", "flat", "gain", "clipped", "mains", "limb-leads", "limb-reversal", "polarity",
    "rate",
)  # fmt: skip
# What a store has in columns of its own: `padded` and `nan_filled`.
_IN_OTHER_COLUMNS = ("length", "gaps")


def flags(recordings: Recordings) -> list[str]:
    """Names of the findings of each, "," between them, "" if none: what a store keeps.

    Left out is what a store has in columns of its own (gaps, length).
    """
    found = ([f.name for f in each] for each in examine_all(recordings))
    return [",".join(n for n in names if n not in _IN_OTHER_COLUMNS) for names in found]


def examine(
    ecg: np.ndarray, lead_mask: np.ndarray, sampling_rate: float, *, header: Header | None = None
) -> list[Finding]:
    """Findings of one recording, in the order of NAMES, at most one of a name.

    ecg: float mV `[12, T]`, NaN = no valid sample, or int16 uV. lead_mask: True = recorded, `[12]`.
    sampling_rate: Hz, as stated. header: what it says is then quoted.
    """
    mask = np.array(lead_mask, dtype=bool)
    return examine_all(Recordings(ecg[None], mask[None], sampling_rate), [header])[0]


def examine_all(
    recordings: Recordings, headers: list[Header | None] | None = None
) -> list[list[Finding]]:
    """`examine` of each; headers: one each."""
    found: list[list[Finding]] = [[] for _ in range(len(recordings))]
    seconds = recordings.samples.shape[2] / recordings.sampling_rate
    checks = [samples.length(seconds, len(recordings))]
    if seconds >= MIN_SECONDS:
        seen = view(recordings, headers or [None] * len(recordings))
        beats = find_beats(seen.slow, seen.slow_rate)
        checks += [
            samples.gaps(seen),
            samples.flat(seen),
            samples.gain(seen),
            samples.clipped(seen),
            samples.mains(seen),
            leads.placed(seen, beats),
            leads.polarity(seen),
            leads.rate(seen, beats),
        ]
    for check in checks:
        for row, finding in check:
            found[row].append(finding)
    return found
