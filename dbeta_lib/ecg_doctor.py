"""What is wrong with these ECGs? A recording, or a folder of them, looked at before any training.

`examine` reads the files as the dataset `folder` would, runs `quality.examine` on each, looks for
equal samples, and gives a `Report` for the terminal or as one HTML page.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dbeta_lib.data import folder, formats, quality
from dbeta_lib.data.folder_table import read_table
from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_header import Header
from dbeta_lib.data.wfdb_read import Recording, read_header
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import LEADS
from dbeta_lib.progress import tqdm
from dbeta_lib.reporting.html_page import frame, printable, safe

_INFERRED = ("limb-reversal", "polarity", "rate")  # from how hearts mostly are
_RARE = 0.05  # each of these is found in under 2 % of PTB-XL, where nothing is wrong
SHOWN = 3  # examples of a finding
_EXPORT = "export the recording again"
_REMEDIES = {  # of what cannot be read, if it is no _EXPORT; the detail beside it names the file
    formats.NO_RECORDING: "leave it, it is set aside; or name the leads in its first line",
    "file missing": "copy the file there, or take its header or line away",
    "truncated": "copy the file again",
    "wrong sampling rate": "correct what the file says, or give Hz: `dbeta doctor` --rate 500, "
    "`dbeta prepare folder` --set file_rate=500",
    "wrong shape": "cut long recordings; arrays are [leads, samples]; other rows are named by "
    "`dbeta doctor` --leads I,II, `dbeta prepare folder` --set file_leads=I,II",
    "unknown lead name": "name the leads I II III aVR aVL aVF V1 to V6",
    "unknown unit": "write V, mV or uV, and in a WFDB header a gain that is not 0; where a CSV or "
    "NumPy file says none: `dbeta doctor` --units uV, `dbeta prepare folder` --set file_units=uV",
    "path refused": "put the file itself there under a plain name; links are not followed",
}


@dataclass
class Row:
    """What is said of several recordings at once. examples: up to SHOWN, with what was found."""

    name: str
    spoils: bool
    remedy: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < SHOWN:
            self.examples.append(example)


@dataclass
class Report:
    """path: what was looked at; total: recordings there, of which `looked_at` at most were opened.

    facts: (what, value) of those that could be read. rows: findings, those that spoil first.
    """

    path: str
    total: int
    looked_at: int
    facts: list[tuple[str, str]]
    rows: list[Row]

    @property
    def spoils(self) -> bool:
        """Whether a finding would make results wrong."""
        return any(row.spoils for row in self.rows)

    def text(self) -> str:
        """For the terminal, a page."""
        lines = [f"{printable(self.path)}: {self._counts()}"]
        lines += [f"  {name:<14} {value}" for name, value in self.facts]
        for row in self.rows:
            lines += ["", f"{'X' if row.spoils else '!'} {row.name}: {_records(row.count)}"]
            lines += [f"    {example}" for example in row.examples]
            lines += ["    ..."] if row.count > len(row.examples) else []
            lines += [f"  -> {row.remedy}"]
        return "\n".join([*lines, "", self._verdict()])

    def html(self) -> str:
        """One page that needs no other file; every name in it is escaped."""
        facts = "".join(f"<tr><th>{safe(a)}</th><td>{safe(b)}</td></tr>" for a, b in self.facts)
        rows = "".join(_html_row(row) for row in self.rows)
        head = "<tr><th>Finding</th><th>Recordings</th><th>Examples</th><th>What to do</th></tr>"
        findings = f"<h2>Findings</h2><table>{head}{rows}</table>" if rows else ""
        kind = "spoils" if self.spoils else "note" if self.rows else "good"
        return frame(
            "D-BETA · ECG doctor",
            "<h1>What is wrong with these ECGs?</h1>"
            f'<p class="sub">{safe(self.path)} · {safe(self._counts())} · '
            "for research and teaching, not for diagnosis</p>"
            f'<p class="{kind}">{safe(self._verdict())}</p><table>{facts}</table>{findings}',
        )

    def _counts(self) -> str:
        if self.looked_at == self.total:
            return _records(self.total)
        return f"the first {self.looked_at} of {_records(self.total)}; --limit allows more"

    def _verdict(self) -> str:
        if self.spoils:
            names = ", ".join(row.name for row in self.rows if row.spoils)
            return f"This would spoil results: {names}."
        return "Nothing here would spoil results." + (" Some is worth a look." * bool(self.rows))


def examine(
    path: Path | str, *, limit: int = 1000, file_rate: float = 0, file_leads: str = "",
    file_units: str = "mV", progress: bool = True,
) -> Report:  # fmt: skip
    """Look at one recording, or at the first `limit` of a folder in the order of their names.

    file_rate, file_leads, file_units: of CSV and NumPy files, as for the dataset `folder`.
    Raises UsageError for a wrong option, or when there is no recording.
    """
    path = Path(path)
    if limit < 1:
        raise UsageError(f"limit={limit}: give 1 or more")
    options = folder.file_options(file_rate, file_leads, file_units)
    place, files, refused = _files(path)
    facts, rows = _Facts(), {}
    for name, reason, detail in refused:  # left out, so nothing is spoilt
        _add(rows, reason, False, _REMEDIES[reason], _where(name, detail))
    _check_table(place, files, rows)
    bar = tqdm(files[:limit], desc="ECG doctor", delay=2, leave=False, disable=not progress)
    for file, found in _read_all(place, bar, options):
        if isinstance(found, Rejected):
            spoils = found.reason != formats.NO_RECORDING
            remedy = _REMEDIES.get(found.reason, _EXPORT)
            _add(rows, found.reason, spoils, remedy, _where(file, found.detail))
            continue
        recording, header = found
        facts.add(file, recording, header)
        for f in quality.examine(
            recording.ecg, recording.lead_mask, recording.sampling_rate, header=header
        ):
            leads = f" ({' '.join(f.leads)})" if f.leads else ""
            _add(rows, f.name, f.spoils, f.remedy, f"{printable(file)}{leads}: {f.says}")
    for files_alike in facts.duplicates():
        names = ", ".join(map(printable, files_alike[:SHOWN]))
        more = f" and {len(files_alike) - SHOWN} more" if len(files_alike) > SHOWN else ""
        remedy = "keep one of each, or they may stand on both sides of a split"
        _add(rows, "duplicates", True, remedy, f"the same samples: {names}{more}")
    for row in rows.values():
        _weigh(row, min(len(files), limit))
    ordered = sorted(rows.values(), key=lambda row: (not row.spoils, -row.count, row.name))
    return Report(str(path), len(files), min(len(files), limit), facts.lines(), ordered)


def _weigh(row: Row, looked_at: int) -> None:
    """A finding that rare hearts give too spoils a folder only where it is more than rare."""
    if row.name in _INFERRED and row.count <= _RARE * looked_at:
        row.spoils = False
        row.remedy += "; in so few recordings it may be the heart"


def _files(path: Path) -> tuple[Path, list[str], folder.Aside]:
    """The folder, the recordings in it by their paths below, and the links and names refused."""
    if path.is_dir():
        return path, *folder.find_recordings(path, folder.table_path(path))
    if path.suffix.lower() in (".dat", ".mat") and path.with_suffix(".hea").is_file():
        path = path.with_suffix(".hea")
    if not path.is_file():
        raise UsageError(f"{path} is not there; name a recording or a folder of them")
    return path.parent, [path.name], []


def _read_all(
    place: Path, files: Iterable[str], options: dict
) -> Iterator[tuple[str, tuple[Recording, Header | None] | Rejected]]:
    """Each file's recording and, of WFDB, header; what cannot be read comes as a value."""
    for file in files:
        try:
            recording = folder.read(str(place), options, file)
            is_wfdb = file.endswith(".hea")
            header = read_header(place, file.removesuffix(".hea")) if is_wfdb else None
            yield file, (recording, header)
        except Rejected as reason:
            yield file, reason


def _check_table(place: Path, files: list[str], rows: dict) -> None:
    """The folder's table, where there is one: its lines, and the recordings that they name."""
    if len(files) == 1 or not (path := folder.table_path(place)):
        return
    try:
        named = read_table(path).records.index
    except DBetaError as error:
        _add(rows, "table", True, "correct the table", str(error))
        return
    there = {Path(file).with_suffix("").as_posix() for file in files}
    for name in named.difference(list(there), sort=True):
        _add(rows, "file missing", True, _REMEDIES["file missing"], f"{path.name} names {name}")


class _Facts:
    """What the recordings have in common, and where they differ."""

    def __init__(self):
        self.rates, self.lengths, self.leads = Counter(), Counter(), Counter()
        self.units, self.kinds = Counter(), Counter()
        self.hashes: dict[str, list[str]] = {}

    def add(self, file: str, recording: Recording, header: Header | None) -> None:
        """Count one recording."""
        ecg, rate = recording.ecg, recording.sampling_rate
        suffix = Path(file).suffix.lower() or ".dicom"  # of a single file alone
        self.kinds[suffix.replace(".hea", "WFDB").strip(".")] += 1
        self.rates[f"{rate:g} Hz"] += 1
        self.lengths[f"{ecg.shape[1] / rate:.1f} s"] += 1
        self.leads[tuple(np.flatnonzero(recording.lead_mask))] += 1
        if header:
            gains = {f"{s.gain:g}/{s.unit}" for s in header.signals if parse_label(s.lead)}
            self.units[", ".join(sorted(gains))] += 1
        uv = np.rint(np.nan_to_num(ecg) * 1000).clip(-(2**31), 2**31 - 1).astype("<i4")
        key = hashlib.blake2b(uv.tobytes(), digest_size=8).hexdigest()
        self.hashes.setdefault(key, []).append(file)

    def duplicates(self) -> list[list[str]]:
        """Files with the very same samples (to 1 uV), in groups."""
        return [files for files in self.hashes.values() if len(files) > 1]

    def lines(self) -> list[tuple[str, str]]:
        """What is said of them."""
        if not self.kinds:
            return []
        missing = Counter()
        for present, count in self.leads.items():
            absent = [name for i, name in enumerate(LEADS) if i not in present]
            missing[" ".join(absent) or "none"] += count
        return [
            ("format", _tally(self.kinds)),
            ("rate", _tally(self.rates)),
            ("length", _tally(self.lengths)),
            ("leads missing", _tally(missing)),
            *([("gain", printable(_tally(self.units)))] if self.units else []),
        ]


def _tally(counter: Counter, shown: int = 4) -> str:
    """The one value, or the most frequent ones with their counts."""
    if len(counter) == 1:
        return next(iter(counter))
    listed = [f"{value} ({count})" for value, count in counter.most_common(shown)]
    return "; ".join(listed) + (f"; {len(counter) - shown} others" if len(counter) > shown else "")


def _add(rows: dict, name: str, spoils: bool, remedy: str, example: str) -> None:
    key = (name, spoils, remedy)
    rows.setdefault(key, Row(name, spoils, printable(remedy))).add(printable(example))


def _where(file: str, detail: str) -> str:
    return detail if file.rsplit(".", 1)[0] in detail else f"{file}: {detail}"


def _records(count: int) -> str:
    return f"{count} recording{'' if count == 1 else 's'}"


def _html_row(row: Row) -> str:
    kind = "spoils" if row.spoils else "note"
    examples = "<br>".join(safe(example) for example in row.examples)
    more = "<br>..." if row.count > len(row.examples) else ""
    return (
        f'<tr><td class="{kind}">{safe(row.name)}</td><td class="n">{row.count}</td>'
        f"<td>{examples}{more}</td><td>{safe(row.remedy)}</td></tr>"
    )
