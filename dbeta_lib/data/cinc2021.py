"""PhysioNet/CinC Challenge 2021: eight sources below `training/<source>/g<k>/`, 26 scored classes.

The recordings come from several hospitals, of 5 s to 30 min, 257, 500 and 1000 Hz; windows and
resampling are those of every dataset. The 26 classes are the Challenge's: 30 SNOMED codes, four
pairs of which are scored as one. `weights.csv` and `dx_mapping_scored.csv` are read where they are
in the folder, else from the copy here. Patients are not named; some sources (PTB, St. Petersburg)
have several recordings of one.

Reyna et al., "Will Two Do? Varying Dimensions in Electrocardiography: The PhysioNet/Computing in
Cardiology Challenge 2021", PhysioNet, doi:10.13026/34va-7q14 (CC BY 4.0). `cinc2021_scored.csv`:
codes, abbreviations and pairs of github.com/physionetchallenges/evaluation-2021 (BSD-2).
"""

import csv
import functools
import re
from pathlib import Path

from dbeta_lib.data import snomed
from dbeta_lib.data.plan import Plan
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.errors import DBetaError, UsageError, nearest

CODE_VERSION = 2  # raised whenever the same input would give another store
SOURCES = (
    "chapman_shaoxing", "cpsc_2018", "cpsc_2018_extra", "georgia", "ningbo", "ptb", "ptb-xl",
    "st_petersburg_incart",
)  # fmt: skip
WEIGHTS, MAPPING = "weights.csv", "dx_mapping_scored.csv"
_BESIDE = Path(__file__).with_name("cinc2021_scored.csv")
_REMEDY = (
    "download it again (https://physionet.org/content/challenge-2021/) and name the folder that "
    "holds training/, or the folder of one source"
)
_CONVENTION = (
    "the Challenge's 26 scored classes, from the header's SNOMED codes; two codes scored as one "
    "diagnosis are one class (A|B), positive if either is there; codes that are not scored are "
    "ignored, and a record that has only such is all 0"
)


def plan(source: Path | str, *, sampling_rate: int = 500, sources: str = "") -> Plan:
    """What the Challenge's folder `source` holds.

    sampling_rate: Hz of the store. sources: names with commas between ("georgia,ningbo") to keep
    only these; "" = all. Extra columns: `dx`, the header's SNOMED codes, and `source_set`, the
    folder below training/ ("" elsewhere). Raises DBetaError naming the file and remedy, UsageError
    for a wrong folder, rate or source.
    """
    source, listing = _listing(source, sampling_rate, sources)
    class_of = read_classes(source)
    found, aside = snomed.read_notes(source, listing.headers)
    records = snomed.record_rows(found)
    records["source_set"] = [source_set(name) for name in found]
    classes_of = {
        name: [class_of[code] for code in note.codes if code in class_of]
        for name, note in found.items()
    }
    classes = list(dict.fromkeys(class_of.values()))
    return Plan(
        records,
        functools.partial(read_wfdb, str(source)),
        "1.0 by its layout; the files name no version",
        snomed.checksum(source, listing, _tables(source)),
        {"cinc2021": (snomed.label_frame(classes_of, classes), _CONVENTION)},
        listing.aside + aside,
    )


def source_checksum(source: Path | str, *, sampling_rate: int = 500, sources: str = "") -> str:
    """What `prepare` would read: hash of the tables, the headers and the signal files' sizes."""
    source, listing = _listing(source, sampling_rate, sources)
    return snomed.checksum(source, listing, _tables(source))


def source_set(path: str) -> str:
    """The source that a record's path names: what follows training/, or a known name in front."""
    parts = path.split("/")[:-1]
    if len(parts) > 1 and parts[0] == "training":
        return parts[1]
    return parts[0] if parts and parts[0] in SOURCES else ""


def read_classes(source: Path) -> dict[str, str]:
    """SNOMED code -> class, in the order of the Challenge's weights; a pair has one class "A|B".

    Each of the two tables is the folder's own where it has one. Raises DBetaError naming the file.
    """
    own = _read_rows(_BESIDE)
    abbreviations = {row["code"]: row["abbreviation"] for row in own}
    if (source / MAPPING).is_file():
        abbreviations = _read_mapping(source / MAPPING)
    groups: dict[str, list[str]] = {}
    for row in own:
        groups.setdefault(row["class"], []).append(row["code"])
    scored = list(groups.values())
    if (source / WEIGHTS).is_file():
        scored = _read_weights(source / WEIGHTS)
    absent = [code for codes in scored for code in codes if code not in abbreviations]
    if absent:
        raise DBetaError(f"{source / MAPPING} does not name the scored code {absent[0]}; {_REMEDY}")
    return {code: "|".join(abbreviations[c] for c in codes) for codes in scored for code in codes}


def _listing(source: Path | str, sampling_rate: int, sources: str) -> tuple[Path, snomed.Listing]:
    """The folder and what lies below it of the sources asked for."""
    source = snomed.check_call(source, sampling_rate, _REMEDY)
    asked = [name.strip() for name in sources.split(",") if name.strip()]
    found = snomed.list_folder(source)
    if not found.headers:
        raise DBetaError(f"{source} has no record (*.hea) below it; {_REMEDY}")
    if not asked:
        return source, found
    there = {source_set(name) for name in found.headers} - {""}
    for name in asked:
        if name not in there:
            raise UsageError(
                f"{source} has no records of the source '{name}'{nearest(name, there)}"
            )
    return source, snomed.list_folder(source, lambda path: source_set(path) in asked)


def _tables(source: Path) -> list[Path]:
    """The tables that decide the classes."""
    return [_BESIDE, *(source / name for name in (WEIGHTS, MAPPING) if (source / name).is_file())]


def _read_mapping(path: Path) -> dict[str, str]:
    rows = _read_rows(path)
    if not rows or not {"SNOMEDCTCode", "Abbreviation"} <= set(rows[0]):
        raise DBetaError(f"{path} has no column SNOMEDCTCode or Abbreviation, or no row; {_REMEDY}")
    found = {row["SNOMEDCTCode"]: row["Abbreviation"] for row in rows}
    for code, name in found.items():
        if not re.fullmatch(r"[0-9]{4,18}", code) or not re.fullmatch(r"\w{1,20}", name):
            raise DBetaError(f"{path}: '{code}' and '{name}' are no code and name; {_REMEDY}")
    return found


def _read_weights(path: Path) -> list[list[str]]:
    """The codes of each class, from the first line; what is scored as one stands as "a|b"."""
    cells = next(iter(_read_lines(path)), [])[1:]
    found = [cell.strip().split("|") for cell in cells]
    codes = [code for group in found for code in group]
    if not codes or any(not re.fullmatch(r"[0-9]{4,18}", code) for code in codes):
        raise DBetaError(f"{path} does not begin with the scored codes; {_REMEDY}")
    if len(set(codes)) != len(codes):
        raise DBetaError(f"{path} names a scored code twice; {_REMEDY}")
    return found


def _read_rows(path: Path) -> list[dict[str, str]]:
    head, *rows = _read_lines(path) or [[]]
    return [dict(zip(head, row + [""] * len(head))) for row in rows if row]


def _read_lines(path: Path) -> list[list[str]]:
    if path.stat().st_size > snomed.MAX_TABLE_BYTES:
        raise DBetaError(f"{path} is too large to be that table; {_REMEDY}")
    try:
        return list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise DBetaError(f"{path} is damaged ({error}); {_REMEDY}") from error
