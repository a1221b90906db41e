"""A WFDB header, parsed with distrust (format: physionet.org/physiotools/wag/header-5.htm).

`wfdb.rdheader` refuses records whose name holds a dot (CinC 2021 has headers that begin with
"JS20004.mat"), takes a gain of 0 for 200 and stumbles over dates. Nothing here depends on the name
in the first line, and date and time are not read: published ones are shifted or made up.
"""

import functools
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.signals import Rejected

_DIGITS = re.compile(r"\d{1,12}", re.ASCII)
_FORMAT = re.compile(r"(\d{1,3})(?:x(\d{1,6}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?", re.ASCII)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
# No recorder is this coarse or fine, and beyond it numbers of samples overflow.
_MIN_GAIN, _MAX_GAIN = 1e-9, 1e15
_GAIN = re.compile(rf"({_NUMBER})(?:\(([-+]?\d{{1,12}})\))?(?:/(\S{{1,20}}))?", re.ASCII)


class SignalLine(NamedTuple):
    """One signal: where its samples are, and what they mean."""

    file: str
    format: int  # WFDB's number of the storage format
    per_frame: int  # samples per frame
    skew: int  # frames by which it is late
    offset: int  # bytes before the first sample
    gain: float  # steps per mV or whatever `unit` says, not 0; NaN = not said, of no lead
    baseline: int  # sample value of 0
    unit: str
    lead: str  # the description


@dataclass(frozen=True)
class Header:
    """sampling_rate in Hz; samples per signal, 0 = not said; comments without their "#"."""

    sampling_rate: float
    samples: int
    signals: tuple[SignalLine, ...]
    comments: tuple[str, ...]

    def comment(self, key: str) -> str:
        """The text after "key:" in the comments, whatever its case and blanks; "" if none."""
        for line in self.comments:
            name, colon, value = line.partition(":")
            if colon and name.strip().lower() == key.lower():
                return value.strip()
        return ""


def parse_header(text: str, file: str) -> Header:
    """The header in `text`. Raises Rejected naming `file` and the line that is not understood."""
    lines = [line.strip() for line in text.splitlines()]
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise Rejected("unreadable", f"{file} is empty")
    rate, samples, count = _record_line(lines[0], file)
    if len(lines) - 1 != count:
        found = f"{file} promises {count} signals and describes {len(lines) - 1}"
        raise Rejected("unreadable", found)
    return Header(rate, samples, tuple(_signal_line(line, file) for line in lines[1:]), comments)


def _record_line(line: str, file: str) -> tuple[float, int, int]:
    """Sampling rate, samples and number of signals."""
    parts = line.split()
    if len(parts) < 2 or not _DIGITS.fullmatch(parts[1]):
        raise Rejected("unreadable", f"{file}: '{line[:60]}' is no record line")
    if re.search(r"/\d+$", parts[0]):
        raise Rejected("unreadable", f"{file} describes a record of several segments")
    # rate[/counter frequency[(base counter)]]; 250 is what the format says where none is given
    text = parts[2].split("/")[0] if len(parts) > 2 else "250"
    rate = float(text) if re.fullmatch(_NUMBER, text, re.ASCII) else math.nan
    samples = parts[3] if len(parts) > 3 else "0"
    if not _DIGITS.fullmatch(samples):
        raise Rejected("unreadable", f"{file}: '{samples[:20]}' is no number of samples")
    return rate, int(samples), int(parts[1])


def _signal_line(line: str, file: str) -> SignalLine:
    """file format[xframe][:skew][+offset] [gain[(baseline)][/unit] [resolution [zero ...]]]"""
    parts = line.split(maxsplit=8)
    parts += ["nothing", "", "0", "", "", "", ""][len(parts) - 2 :] if 1 < len(parts) < 9 else []
    found = _described(parts[1], parts[2], parts[4], parts[8]) if len(parts) > 1 else None
    if found is None:
        raise Rejected("unreadable", f"{file}: '{line[:60]}' is no signal line")
    if isinstance(found, str):
        raise Rejected("unknown unit", f"{file}: {found}")
    return SignalLine(parts[0], *found)


@functools.lru_cache(maxsize=512)  # the records of a data set differ in little else
def _described(kind: str, gain: str, zero: str, lead: str) -> tuple | str | None:
    """What follows the file's name, as fields; what is wrong with the gain; None: no such line."""
    form = _FORMAT.fullmatch(kind)
    if form is None:
        return None
    steps = _gain(gain, lead)
    if steps is None:
        return f"'{gain[:20]}' is no gain that gives units to samples"
    if not re.fullmatch(r"[-+]?\d{1,12}", zero, re.ASCII):
        return None
    where = (int(form[1]), int(form[2] or 1), int(form[3] or 0), int(form[4] or 0))
    return (*where, steps[0], int(steps[1] or zero), steps[2], lead)


def _gain(text: str, lead: str) -> tuple[float, str | None, str] | None:
    """Gain, baseline (None = not said) and unit. Only a signal that is no lead may have none."""
    found = _GAIN.fullmatch(text)
    if found and _MIN_GAIN <= abs(float(found[1])) <= _MAX_GAIN:
        return float(found[1]), found[2], found[3] or "mV"
    return (math.nan, None, "") if lead and not parse_label(lead) else None
