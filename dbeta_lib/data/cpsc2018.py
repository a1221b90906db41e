"""CPSC2018: 6,877 recordings of 6 to 144 s at 500 Hz with nine classes, in either of two editions.

The original one has MATLAB structs in `TrainingSet1..3/` and `REFERENCE.csv` (up to three labels, 1
to 9); the one that PhysioNet's Challenges give has WFDB records with SNOMED codes in their headers.
The nine classes are the same. Patients are not named: every recording stands for itself.

Liu et al., "An open access database for evaluating the algorithms of electrocardiogram rhythm and
morphology abnormality detection", J. Med. Imaging Health Inf. 8, 1368 (2018); WFDB edition:
doi:10.13026/34va-7q14 (CC BY 4.0). Class names as in MERL's files.
"""

import functools
import re
from pathlib import Path

import pandas as pd

from dbeta_lib.data import snomed
from dbeta_lib.data.cpsc2018_mat import read_mat, read_person
from dbeta_lib.data.csv_text import read_text_table
from dbeta_lib.data.plan import Plan
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.errors import DBetaError, UsageError

CODE_VERSION = 2  # raised whenever the same input would give another store
NUMBERS = {
    1: "NORM", 2: "AFIB", 3: "1AVB", 4: "CLBBB", 5: "CRBBB", 6: "PAC", 7: "VPC", 8: "STD", 9: "STE",
}  # fmt: skip
CODES = {  # SNOMED CT; the WFDB edition has the first of each class, the others mean the same
    "426783006": "NORM", "164889003": "AFIB", "270492004": "1AVB",
    "164909002": "CLBBB", "733534002": "CLBBB", "59118001": "CRBBB", "713427006": "CRBBB",
    "284470004": "PAC", "63593006": "PAC",
    "164884008": "VPC", "427172004": "VPC", "17338001": "VPC",  # the first: ventricular ectopics
    "429622005": "STD", "164931005": "STE",
}  # fmt: skip
CLASSES = tuple(sorted(NUMBERS.values()))
TABLE = "REFERENCE.csv"
_COLUMNS = ("First_label", "Second_label", "Third_label")
_RATE = 500
_RECORD = re.compile(r"(?:.*/)?A\d{4}", re.ASCII)  # the Challenge's extra set has Q0001 and so on
_REMEDY = (
    f"name the folder that holds TrainingSet1/ and {TABLE} of the original edition, or "
    "training/cpsc_2018 of https://physionet.org/content/challenge-2021/"
)
_SAME = "; classes in alphabetical order: " + ", ".join(CLASSES)
_ORIGINAL = f"all of the up to three labels that {TABLE} gives a recording" + _SAME
_WFDB = "the SNOMED codes of the header; two codes that mean one class are that class" + _SAME


def plan(source: Path | str, *, sampling_rate: int = 500) -> Plan:
    """What the folder `source` holds, of whichever edition.

    sampling_rate: Hz of the store; the recordings have 500. Extra column: `dx`, the labels as
    published (numbers or SNOMED codes). Raises DBetaError naming the file and remedy, UsageError
    for a wrong folder or rate.
    """
    source = snomed.check_call(source, sampling_rate, _REMEDY)
    listing = _listing(source)
    table = _table(source, listing)
    return _wfdb_plan(source, listing) if table is None else _mat_plan(source, listing, table)


def source_checksum(source: Path | str, *, sampling_rate: int = 500) -> str:
    """What `prepare` would read: hash of the labels (table or headers) and of the files' sizes."""
    source = snomed.check_call(source, sampling_rate, _REMEDY)
    listing = _listing(source)
    table = _table(source, listing)
    return snomed.checksum(source, listing, [] if table is None else [table])


def _listing(source: Path) -> snomed.Listing:
    return snomed.list_folder(source, lambda path: _RECORD.fullmatch(path) is not None)


def _table(source: Path, listing: snomed.Listing) -> Path | None:
    """The original edition's table; None = the WFDB edition. Raises when it cannot be told."""
    places = [source, *(source / f"TrainingSet{i}" for i in (1, 2, 3))]
    table = next((place / TABLE for place in places if (place / TABLE).is_file()), None)
    if table and listing.headers:
        raise UsageError(
            f"{source} holds {TABLE} and WFDB headers ({listing.headers[0]}.hea), two editions; "
            "name the folder of one of them"
        )
    if table or listing.headers:
        return table
    if listing.files:
        raise DBetaError(f"{source / TABLE} is missing, which has the labels; {_REMEDY}")
    raise DBetaError(f"{source} has no recording (A0001.mat or A0001.hea) below it; {_REMEDY}")


def _wfdb_plan(source: Path, listing: snomed.Listing) -> Plan:
    found, aside = snomed.read_notes(source, listing.headers)
    classes_of = {
        name: [CODES[code] for code in note.codes if code in CODES] for name, note in found.items()
    }
    left = snomed.unnamed(found.values(), CODES)
    note = f"; codes of none of these, with their records: {left}" if left else ""
    return Plan(
        snomed.record_rows(found),
        functools.partial(read_wfdb, str(source), sampling_rate=_RATE),
        "WFDB edition of the PhysioNet/CinC Challenges",
        snomed.checksum(source, listing),
        {"cpsc2018": (snomed.label_frame(classes_of, CLASSES), _WFDB + note)},
        listing.aside + aside,
    )


def _mat_plan(source: Path, listing: snomed.Listing, table: Path) -> Plan:
    labels = read_reference(table)
    place = _places(path.removesuffix(".mat") for path in listing.files if path.endswith(".mat"))
    gone = [name for name in labels if name not in place]
    rows = []
    for name, path in place.items():
        age, sex = read_person(source, path)
        dx = ",".join(map(str, labels.get(name, ())))
        rows.append({"record_id": path, "source": path, "age": age, "sex": sex, "dx": dx})
    unlisted = sum(name not in labels for name in place)
    note = f"; {unlisted} recordings are not in that table and have none" if unlisted else ""
    classes_of = {path: [NUMBERS[n] for n in labels.get(name, ())] for name, path in place.items()}
    return Plan(
        pd.DataFrame(rows, columns=["record_id", "source", "age", "sex", "dx"]),
        functools.partial(read_mat, str(source)),
        "original edition",
        snomed.checksum(source, listing, [table]),
        {"cpsc2018": (snomed.label_frame(classes_of, CLASSES), _ORIGINAL + note)},
        [(name, "file missing", f"{name}.mat, which {TABLE} lists") for name in gone],
    )


def _places(paths) -> dict[str, str]:
    """Recording -> its path without suffix. Raises DBetaError when one lies in two folders."""
    found: dict[str, str] = {}
    for path in sorted(paths):
        name = path.rpartition("/")[2]
        if name in found:
            raise DBetaError(f"{found[name]}.mat and {path}.mat are one recording; remove one")
        found[name] = path
    return found


def read_reference(path: Path) -> dict[str, tuple[int, ...]]:
    """Recording -> its labels (1 to 9) in the table's order. Raises DBetaError naming the fault."""
    try:
        frame = read_text_table(path)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise DBetaError(f"{path} is damaged ({str(error).splitlines()[0]}); {_REMEDY}") from error
    if absent := [column for column in ("Recording", *_COLUMNS) if column not in frame]:
        raise DBetaError(f"{path} has no column {', '.join(absent)}; {_REMEDY}")
    found: dict[str, tuple[int, ...]] = {}
    for name, *cells in frame[["Recording", *_COLUMNS]].itertuples(index=False):
        labels = [cell.strip() for cell in cells if cell.strip()]
        if not re.fullmatch(r"A\d{4}", name, re.ASCII) or name in found:
            raise DBetaError(f"{path}: '{name}' is no recording, or stands there twice; {_REMEDY}")
        if not labels or not all(re.fullmatch("[1-9]", label) for label in labels):
            raise DBetaError(f"{path}: the labels of {name} are none of 1 to 9; {_REMEDY}")
        found[name] = tuple(dict.fromkeys(map(int, labels)))
    return found
