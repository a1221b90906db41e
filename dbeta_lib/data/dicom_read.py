"""The ECG of a DICOM file: its waveform, by `pydicom` (DICOM PS3.3, C.10.9 Waveform Module).

A file may hold several groups of channels; the recording is taken, not the median beat. Names,
dates and everything else about the patient are left unread. `pydicom` is an extra.
"""

from pathlib import Path

import numpy as np

from dbeta_lib.data.named_signal import NO_RECORDING, NamedSignal
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import MAX_SAMPLES, MAX_SIGNALS
from dbeta_lib.leads import LEADS

PREAMBLE = 128  # bytes before the word by which a DICOM file is known
INSTALL = 'pip install "dbeta_lib[formats]"'
_DEFLATED = "1.2.840.10008.1.2.1.99"
_TAGS = ["SOPClassUID", "WaveformSequence"]
# A lead's code is the same number in both schemes: "2:1" of ISO/IEEE 11073-10101 and "5.6.3-9-1"
# of SCP-ECG (PS3.16, CID 3001).
_CODES = {
    "1": "I", "2": "II", "61": "III", "62": "aVR", "63": "aVL", "64": "aVF",
    "3": "V1", "4": "V2", "5": "V3", "6": "V4", "7": "V5", "8": "V6",
}  # fmt: skip


def is_dicom(path: Path) -> bool:
    """Whether a plain file begins as DICOM does, whatever its name."""
    try:
        with open(path, "rb") as file:
            return file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"
    except OSError:
        return False


def read_dicom(path: Path) -> list[NamedSignal]:
    """The leads of the recording. Raises Rejected; its detail names the file."""
    try:
        import pydicom
        from pydicom.waveforms import multiplex_array
    except ImportError:
        found = f"{path.name} is DICOM, which pydicom reads: {INSTALL}"
        raise Rejected("unreadable", found) from None
    try:
        dataset = pydicom.dcmread(path, specific_tags=_TAGS)
        if str(dataset.file_meta.get("TransferSyntaxUID", "")) == _DEFLATED:
            raise Rejected("unreadable", f"{path.name} is deflated; write it uncompressed")
        groups = list(dataset.get("WaveformSequence", []))
        index = _recording(groups, path.name)
        values = multiplex_array(dataset, index, as_raw=False).astype(np.float64)
        raw = multiplex_array(dataset, index)
        values[raw == _padding(groups[index], raw.dtype)] = np.nan
        return _signals(groups[index], values)
    except Rejected:
        raise
    except Exception as error:  # whatever pydicom trips over is a file that cannot be read
        found = f"{path.name} is no DICOM that can be read ({_line(error)})"
        raise Rejected("unreadable", found) from None


def _line(error: Exception) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:200]


def _recording(groups: list, name: str) -> int:
    """Which group is the recording: of those with most leads the longest, original before derived.

    Sizes are looked at before anything is decoded.
    """
    ranked = []
    for index, group in enumerate(groups):
        channels, samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
        if not (0 < channels <= MAX_SIGNALS and 0 < channels * samples <= MAX_SAMPLES):
            found = f"{name}: {channels} channels of {samples} samples; cut it first"
            raise Rejected("wrong shape", found)
        named = sum(_label(c) in LEADS for c in group.ChannelDefinitionSequence)
        is_original = str(group.get("WaveformOriginality", "")) != "DERIVED"
        ranked.append((bool(named), is_original, named, samples, -index))
    if not ranked:
        raise Rejected(NO_RECORDING, f"{name} is DICOM without a waveform")
    return -max(ranked)[-1]


def _label(channel) -> str:
    """A lead's name by its code, else what the file calls it."""
    source = channel.ChannelSourceSequence[0]
    scheme, code = str(source.get("CodingSchemeDesignator", "")), str(source.get("CodeValue", ""))
    number = {"MDC": code.removeprefix("2:"), "SCPECG": code.removeprefix("5.6.3-9-")}.get(scheme)
    meaning = str(source.get("CodeMeaning", "")).partition("(")[0]
    return _CODES.get(number or "", meaning.strip())


def _padding(group, dtype: np.dtype) -> int | None:
    """The value that stands for "no sample", in the samples' own type."""
    value = group.get("WaveformPaddingValue")
    if value is None:
        return None
    data = value if isinstance(value, bytes) else int(value).to_bytes(8, "little", signed=True)
    return np.frombuffer(data[: dtype.itemsize], dtype)[0]


def _signals(group, values: np.ndarray) -> list[NamedSignal]:
    """values: `[T, channels]` in each channel's unit."""
    rate = float(group.SamplingFrequency)
    signals = []
    for channel, row in zip(group.ChannelDefinitionSequence, values.T, strict=True):
        units = channel.get("ChannelSensitivityUnitsSequence") or []
        unit = str(units[0].get("CodeValue", "")) if "ChannelSensitivity" in channel else ""
        signals.append(NamedSignal(_label(channel), unit if units else "", rate, row))
    return signals
