"""Folders of WFDB records whose headers name SNOMED CT codes, as the Challenges published them.

The comments of such a header are `#Age: 74`, `#Sex: Male`, `#Dx: 426783006,164934002` (in some
releases with a blank after "#"). The headers are the tables of labels here: there is no other. The
records are what lies below the folder; `RECORDS` files, where they are, say what should.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_header import Header
from dbeta_lib.data.wfdb_read import MAX_HEADER_BYTES, read_header
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import sha256_bytes, sha256_file

MAX_TABLE_BYTES = 16 * 1024 * 1024  # the longest list of names published has less than one
_SIGNALS = (".mat", ".dat")
_AGE = re.compile(r"\d{1,3}(?:\.\d{1,6})?", re.ASCII)
_OLDEST = 130  # years; what is above is a code for "not known"
_SEX = {"male": "male", "m": "male", "female": "female", "f": "female"}
_NOTHING = {"", "unknown", "nan", "none", "n/a"}


@dataclass(frozen=True)
class Notes:
    """What a header says of the patient: years or NaN; "female", "male" or "unknown"; its codes in
    their order, each once, as text: what is no number is kept too, so that it can be counted."""

    age: float
    sex: str
    codes: tuple[str, ...]


@dataclass
class Listing:
    """What lies below a folder; paths are relative to it, with "/", sorted.

    headers: paths of the records, without suffix. files: path with suffix -> size in bytes, of
    headers, signal files and RECORDS; -1 = a link. aside: what cannot be a record, with its reason.
    """

    headers: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    aside: list[tuple[str, str, str]] = field(default_factory=list)


def notes(header: Header) -> Notes:
    """Age, sex and codes from the comments; whatever they hold, nothing is raised."""
    return Notes(
        parse_age(header.comment("Age")), parse_sex(header.comment("Sex")),
        parse_codes(header.comment("Dx")),
    )  # fmt: skip


def parse_age(text: str) -> float:
    """Years, 0 to 130; NaN for anything else."""
    found = _AGE.fullmatch(text.strip())  # strip() takes more characters away than float() does
    age = float(found[0]) if found else float("nan")
    return age if age <= _OLDEST else float("nan")


def parse_sex(text: str) -> str:
    """ "female", "male" or "unknown"."""
    return _SEX.get(text.strip().lower(), "unknown")


def parse_codes(text: str) -> tuple[str, ...]:
    """The codes between commas, each once; what stands there instead is cut to 20 characters."""
    parts = ("".join(c for c in part if c.isprintable()).strip() for part in text.split(","))
    return tuple(dict.fromkeys(part[:20] for part in parts if part.lower() not in _NOTHING))


def list_folder(source: Path, wanted: Callable[[str], bool] = lambda path: True) -> Listing:
    """Walk `source`. wanted: whether a path without suffix is of the dataset; others are left out.

    Raises DBetaError when the folder itself cannot be read.

    Links are not followed and hidden files (names with a dot in front) are no records. A signal
    file without header, a linked folder and what a RECORDS file names in vain are set aside.
    """
    found, folders = Listing(), [""]
    listed: set[str] = set()
    for below in folders:  # grows while it is walked
        try:
            with os.scandir(source / below) as entries:
                here = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not below:
                raise DBetaError(f"{source} cannot be read ({error.strerror})") from error
            found.aside.append((below, "unreadable", f"folder {below}: {error.strerror}"))
            continue
        for entry in here:
            path = f"{below}{entry.name}"
            if entry.name.startswith("."):
                continue
            if not entry.name.isprintable():  # also bytes that are no UTF-8: no table can hold them
                found.aside.append((ascii(path), "path refused", f"{path!a} is no plain name"))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path + "/")
            elif entry.is_symlink() and os.path.isdir(entry.path):
                found.aside.append(
                    (path, "path refused", f"{path} is a link; links are not followed")
                )
            elif entry.name == "RECORDS":
                listed |= _listed(source, below, entry)
                found.files[path] = _size(entry)
            elif entry.name.endswith((".hea", *_SIGNALS)):
                found.files[path] = _size(entry)
    return _sort_out(found, listed, folders, wanted)


def _size(entry: os.DirEntry) -> int:
    return -1 if entry.is_symlink() else entry.stat(follow_symlinks=False).st_size


def _listed(source: Path, below: str, entry: os.DirEntry) -> set[str]:
    """Paths that a RECORDS file names: of records without suffix, of folders with "/" after."""
    if not entry.is_file(follow_symlinks=False) or _size(entry) > MAX_TABLE_BYTES:
        return set()
    text = (source / below / entry.name).read_text(encoding="utf-8", errors="replace")
    lines = (line.strip().removesuffix(".hea") for line in text.splitlines())
    return {f"{below}{line}" for line in lines if line and line.isprintable()}


def _sort_out(
    found: Listing, listed: set[str], folders: list[str], wanted: Callable[[str], bool]
) -> Listing:
    """What was met, reduced to what is wanted, with the twins that are missing."""
    files = {path: found.files[path] for path in sorted(found.files)}
    files = {
        path: n for path, n in files.items() if path.endswith("RECORDS") or wanted(_bare(path))
    }
    headers = [_bare(path) for path in files if path.endswith(".hea")]
    orphans = {_bare(path) for path in files if path.endswith(_SIGNALS)} - set(headers)
    known = orphans.union(headers, folders, (folder.rstrip("/") for folder in folders))
    absent = {path for path in listed - known if wanted(path)}
    aside = found.aside + [(path, "file missing", f"{path}.hea") for path in sorted(orphans)]
    aside += [(path, "file missing", f"{path}, which RECORDS lists") for path in sorted(absent)]
    return Listing(sorted(headers), files, aside)


def _bare(path: str) -> str:
    return path.rpartition(".")[0]


def read_notes(
    source: Path, names: Sequence[str]
) -> tuple[dict[str, Notes], list[tuple[str, str, str]]]:
    """The notes of each record by name, and the records whose header is none, with reason."""
    found, aside = {}, []
    for name in names:
        try:
            found[name] = notes(read_header(source, name))
        except Rejected as reason:
            aside.append((name, reason.reason, reason.detail))
    return found, aside


def checksum(source: Path, listing: Listing, tables: Iterable[Path] = ()) -> str:
    """Hash of the tables, of the headers (they hold the labels) and of the signal files' sizes."""
    lines = [sha256_file(path) for path in tables]
    for path, size in listing.files.items():
        is_text = not path.endswith(_SIGNALS) and 0 <= size <= MAX_TABLE_BYTES
        if path.endswith(".hea") and size > MAX_HEADER_BYTES:
            is_text = False
        lines.append(f"{path} {size} {_hash(source / path) if is_text else ''}")
    return sha256_bytes("\n".join(lines).encode())


def _hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        return str(error.strerror)


def record_rows(found: Mapping[str, Notes]) -> pd.DataFrame:
    """One row per record for a Plan: id and source are its path, `dx` its codes as published."""
    rows = [(name, name, note.age, note.sex, ",".join(note.codes)) for name, note in found.items()]
    return pd.DataFrame(rows, columns=["record_id", "source", "age", "sex", "dx"])


def label_frame(classes_of: Mapping[str, Iterable[str]], classes: Sequence[str]) -> pd.DataFrame:
    """0/1 int8, index record_id, columns `classes`; a name that is none of them is left out."""
    position = {name: i for i, name in enumerate(classes)}
    table = np.zeros((len(classes_of), len(classes)), np.int8)
    for row, names in enumerate(classes_of.values()):
        table[row, [position[name] for name in names if name in position]] = 1
    return pd.DataFrame(
        table, index=pd.Index(list(classes_of), dtype=object), columns=list(classes)
    )


def unnamed(found: Iterable[Notes], known: Iterable[str]) -> str:
    """The codes that are none of `known`, with the number of records each, in words; "" if none."""
    known = set(known)
    counts = Counter(code for note in found for code in note.codes if code not in known)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{code} ({n})" for code, n in most[:100])
    return shown + (f" and {len(most) - 100} others" if len(most) > 100 else "")


def check_call(source: Path | str, sampling_rate: int, remedy: str) -> Path:
    """The folder as a Path. Raises UsageError when it is none, or for an impossible rate."""
    if not Path(source).is_dir():
        raise UsageError(f"{source} is no folder; {remedy}")
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int) or sampling_rate < 50:
        raise UsageError(f"sampling_rate={sampling_rate} Hz: give a whole number, 50 or more")
    return Path(source)
