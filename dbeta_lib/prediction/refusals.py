"""Why a recording cannot be used, as a sentence that names it and says what helps.

The readers give a reason and a detail (`Rejected`); here the remedy is added. Options are named as
in Python and as in a shell: the same sentence stands in a notebook, a widget and a terminal.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dbeta_lib.data import formats
from dbeta_lib.data.signals import MAX_GAP, SECONDS, Rejected
from dbeta_lib.data.wfdb_read import Recording

_AGAIN = "export it again"
_RATE = "sampling_rate=500 in Python, --rate 500 in a shell"
_UNIT = (
    "correct its unit or gain; of an array, CSV or NumPy file say it: "
    'units="uV" in Python, --units uV in a shell'
)
REMEDIES = {  # what helps, by the reason of `Rejected`
    "wrong sampling rate": f"correct it, or give the rate that it has: {_RATE}",
    "wrong shape": "export it again, leads of one length and rate, an hour at most",
    "unknown lead name": "name each lead once, as I II III aVR aVL aVF V1 to V6",
    "unknown unit": _UNIT,
    "beyond 32.767 mV": _UNIT,
    "amplitude implausible": _UNIT,
    "too short": "record at least 1 s, better 10",
    formats.NO_RECORDING: "name a file that holds an ECG",
    "path refused": "put the file itself there",
}
_OF_KIND = {  # the same of one format
    ("wrong shape", ".npy"): "arrays are [leads, samples]; name their leads: "
    'leads=["I", "II", "V2"] in Python, --leads I,II,V2 in a shell',
    (formats.NO_RECORDING, ".csv"): "head the columns that are leads I, II, V1 and so on",
}
_SAID = ("cut it first", "cut the recording first", "rename it")  # ends of details: remedies too


@dataclass(frozen=True)
class Unread:
    """A file of a folder that cannot be used; `says` is a sentence that names it."""

    name: str
    says: str


def refusal(name: str, reason: Rejected) -> Unread:
    """Of what cannot be read: `"a.edf ends within its header; export it again"`.

    name: of the file, with the folders below the one that was asked for.
    """
    if reason.reason == "file missing":
        return Unread(name, _missing(name, reason.detail))
    detail = _named(name, reason.detail or reason.reason)
    return Unread(name, with_remedy(detail, reason.reason, Path(name).suffix.lower()))


def with_remedy(detail: str, reason: str, kind: str = "") -> str:
    """The detail and, where it does not say it itself, what helps. kind: the file's suffix."""
    if detail.endswith(formats.NO_RATE):
        return f"{detail}: {_RATE}"
    if detail.endswith(_SAID):
        return detail
    return f"{detail}; {_OF_KIND.get((reason, kind)) or REMEDIES.get(reason, _AGAIN)}"


def unscorable(name: str, window: Recording, is_part: bool, reason: Rejected) -> Unread:
    """Of what was read, but has nothing in its `window` that a model can be asked about.

    is_part: whether the recording goes on after the window, which is then said.
    """
    which = f"{name}, in its first {SECONDS} s" if is_part else name
    if reason.reason == "all leads bad":
        return Unread(name, f"{which}: {_why_bad(window)}; {_of_bad(is_part)}")
    return Unread(name, with_remedy(f"{which}: {reason.detail}", reason.reason))


def _named(name: str, detail: str) -> str:
    """The detail with the name in front, once: readers mostly begin with the name themselves."""
    path = Path(name)
    stem = path.with_suffix("").as_posix()
    if detail.startswith((f"{stem}.", f"{stem}:", f"{name} ", f"{name},", f"{name}:")):
        return detail
    for own in (path.name, path.stem):  # readers of one file do not know its folder
        if detail.startswith((f"{own} ", f"{own}:", f"{own},")):
            return name + detail.removeprefix(own)
    return f"{name}: {detail}"


def _missing(name: str, file: str) -> str:
    """A file that the one of this name needs, or that one itself."""
    if file == name or file == Path(name).name:
        return f"{name} is not there; copy it there"
    if file == f"{Path(name).name}.hea":  # taken for a WFDB record, for want of a suffix
        return (
            f"{name} has no suffix and is no DICOM file; give it the suffix of its format "
            f"({', '.join(formats.SUFFIXES)})"
        )
    names = "names" if name.endswith(".hea") else "needs"
    return f"{name} {names} {file}, which is not there; copy it beside {Path(name).name}"


def _why_bad(window: Recording) -> str:
    """What is wrong where no lead has a signal: gaps, or leads that stand still."""
    missing = ~np.isfinite(window.ecg[window.lead_mask])
    if missing.all():
        return "no lead has a signal, every sample is missing or infinite"
    lacking = missing.mean(axis=1) > MAX_GAP
    gaps = f"more than {MAX_GAP:.0%} of its samples are missing or infinite"
    if lacking.all():
        return f"no lead is whole enough, of each {gaps}"
    if lacking.any():
        return f"no lead can be used, each holds one value throughout, or {gaps}"
    return "no lead has a signal, each holds one value throughout"


def _of_bad(is_part: bool) -> str:
    if is_part:
        return "only these are scored, so cut the recording to begin where its signal does"
    return "record or export it again"
