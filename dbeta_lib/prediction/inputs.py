"""From a file, a folder or an array to a recording that a model can be asked about.

Nothing here loads a model: whatever is wrong with the input is said at once.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dbeta_lib.data import folder, formats, quality
from dbeta_lib.data.signals import MIN_SECONDS, SECONDS, Rejected
from dbeta_lib.data.wfdb_read import MAX_SECONDS, Recording
from dbeta_lib.data.windows import split
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import LEADS, canonical, derive_limb_leads, lead_index
from dbeta_lib.prediction.refusals import Unread, refusal, with_remedy
from dbeta_lib.progress import tqdm

SHOWN = 8  # names of signals that are not used
_FROM_I_AND_II = ("III", "aVR", "aVL", "aVF")


@dataclass(frozen=True)
class Given:
    """One recording to be asked about.

    name: as it is shown. kind: its format. recording: all of it, with limb leads that I and II
    imply; derived: which those are. seconds: its length. findings: what `data.quality` noticed in
    what is scored, its `window`.
    """

    name: str
    kind: str
    recording: Recording
    seconds: float
    derived: tuple[str, ...] = ()
    findings: tuple[quality.Finding, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Signals of the file that are no leads, as it names them."""
        return self.recording.left_out

    @property
    def window(self) -> Recording:
        """The first ten seconds, or all of a shorter one: what is scored."""
        return split(self.recording, "first")[0]

    @property
    def is_part(self) -> bool:
        """Whether the recording goes on after what is scored."""
        return self.seconds > SECONDS * 1.001

    @property
    def is_short(self) -> bool:
        """Whether zeros stand in place of what is missing to ten seconds."""
        return self.seconds < SECONDS * 0.999

    def facts(self) -> list[tuple[str, str]]:
        """(what, value): format, rate, length, leads, and what is not used."""
        mask = self.recording.lead_mask.copy()
        mask[[lead_index(name) for name in self.derived]] = False
        there = [name for name, present in zip(LEADS, mask) if present]
        leads = "12" if len(there) == len(LEADS) else " ".join(there)
        if self.derived:
            leads += f"; {' '.join(self.derived)} computed from I and II"
        length = f"{self.seconds:.1f} s"
        if self.is_part:
            length += f", of which the first {SECONDS} s are scored"
        not_used = [("not used", _first_of(self.left_out))] if self.left_out else []
        return [
            ("format", self.kind),
            ("rate", f"{self.recording.sampling_rate:g} Hz"),
            ("length", length),
            ("leads", leads),
            *not_used,
        ]


def from_file(
    path: Path | str, sampling_rate: float | None = None, leads: Sequence[str] | None = None,
    units: str = "mV",
) -> Given:  # fmt: skip
    """One file, its format told by its suffix. Raises UsageError, DBetaError as `predict`."""
    path = Path(path)
    if path.suffix.lower() in (".dat", ".mat") and path.with_suffix(".hea").is_file():
        path = path.with_suffix(".hea")
    if not path.exists() and path.with_name(path.name + ".hea").is_file():
        path = path.with_name(path.name + ".hea")  # a WFDB record by its bare name
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a recording in it")
    if not path.is_file():
        raise UsageError(f"{path} is not there; name a recording that is")
    options = {"sampling_rate": sampling_rate, "leads": leads, "units": units}
    try:
        found = formats.read_recording(path, **options)
        return _given(path.name, _kind(path), found)
    except Rejected as reason:
        raise DBetaError(refusal(path.name, reason).says) from reason


def _kind(path: Path) -> str:
    suffix = path.suffix.lower().strip(".")
    return {"hea": "WFDB", "npy": "NumPy", "dcm": "DICOM", "": "DICOM"}.get(suffix, suffix.upper())


def from_array(
    ecg: np.ndarray, sampling_rate: float | None = None, leads: Sequence[str] | None = None,
    units: str = "mV", name: str = "array",
) -> Given:  # fmt: skip
    """An array `[leads, T]` or `[T, leads]` of numbers in `units`; NaN are gaps.

    leads: names of its rows, the twelve in the order of LEADS by default.
    Raises UsageError for another shape, no rate, or an unknown unit or lead.
    """
    values, scale = np.asarray(ecg), formats.to_mv(units)
    names = [canonical(lead) for lead in leads or LEADS]
    if sampling_rate is None or not 1 <= sampling_rate <= 100_000:
        raise UsageError(f"sampling_rate={sampling_rate}: an array needs its rate in Hz")
    if len(set(names)) != len(names):
        raise UsageError(f"leads={','.join(names)}: a lead is named twice")
    fits = values.dtype.kind in "iuf" and values.ndim == 2 and len(names) in values.shape
    if not fits or not 0 < values.size <= len(names) * MAX_SECONDS * sampling_rate:
        raise UsageError(
            f"an array of {values.dtype} {list(values.shape)} is no ECG of {len(names)} leads; "
            "give [leads, samples] of an hour at most, and name fewer leads by leads=[...]"
        )
    rows = (values if values.shape[0] == len(names) else values.T).astype(np.float64) * scale
    samples, mask = np.full((len(LEADS), rows.shape[1]), np.nan), np.zeros(len(LEADS), dtype=bool)
    places = [lead_index(lead) for lead in names]
    samples[places], mask[places] = np.where(np.isfinite(rows), rows, np.nan), True
    try:
        return _given(name, "array", Recording(samples, mask, float(sampling_rate)))
    except Rejected as reason:
        raise DBetaError(refusal(name, reason).says) from reason


def from_folder(
    path: Path, sampling_rate: float | None, leads: Sequence[str] | None, units: str, limit: int
) -> Iterator[Given | Unread]:
    """Each recording below a folder, read one at a time. Raises UsageError where there is none."""
    if limit < 1:
        raise UsageError(f"limit={limit}: give 1 or more")
    options = folder.file_options(sampling_rate or 0, ",".join(leads or ()), units)
    files, refused = folder.find_recordings(path, folder.table_path(path))
    unread = [Unread(name, with_remedy(detail, reason)) for name, reason, detail in refused]
    return _each(path, options, files[:limit], unread)


def _each(
    path: Path, options: dict, files: list[str], unread: list[Unread]
) -> Iterator[Given | Unread]:
    yield from unread
    for file in tqdm(files, desc="ECGs", delay=2, leave=False):
        try:
            found = folder.read(str(path), options, file)
            yield _given(file, _kind(Path(file)), found)
        except Rejected as reason:
            yield refusal(file, reason)


def _given(name: str, kind: str, recording: Recording) -> Given:
    """The recording with the leads that others imply. Raises Rejected for less than a second."""
    length = recording.samples.shape[1] / recording.sampling_rate
    if length < MIN_SECONDS:
        raise Rejected("too short", f"{name} has {length:.2f} s")
    scored = split(recording, "first")[0]
    findings = quality.examine(scored.samples, scored.lead_mask, scored.sampling_rate)
    whole, derived = _with_limb_leads(recording)
    return Given(name, kind, whole, length, derived, tuple(findings))


def _first_of(names: tuple[str, ...]) -> str:
    """The first of them, and how many more there are: recordings of the night have dozens."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return " ".join(names[:SHOWN]) + more


def _with_limb_leads(recording: Recording) -> tuple[Recording, tuple[str, ...]]:
    """Where I and II are there and the other limb leads are not: with these computed."""
    mask = recording.lead_mask.copy()
    places = [lead_index(name) for name in _FROM_I_AND_II]
    if not mask[:2].all() or mask[places].any():
        return recording, ()
    mask[places] = True
    samples = derive_limb_leads(recording.ecg)
    return dataclasses.replace(recording, samples=samples, lead_mask=mask), _FROM_I_AND_II
