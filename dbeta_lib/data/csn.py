"""CSN (Chapman-Shaoxing-Ningbo): `WFDBRecords/NN/NNN/JSnnnnn.hea|.mat`, SNOMED codes in headers.

45,152 recordings of 10 s at 500 Hz, without reports. Two tasks from the same codes: `csn` has the
exact labels, `csn-merl` the 38 columns that MERL and its followers score, made by substring as MERL
made them; `label_difference` counts what that does. The dataset's page speaks of 45,152 patients,
the headers name none: every recording stands for itself.

Zheng, Guo, Chu, "A large scale 12-lead electrocardiogram database for arrhythmia study" 1.0.0,
PhysioNet, doi:10.13026/wgex-er52 (CC BY 4.0); Zheng et al., Scientific Reports 10, 2898 (2020).
MERL: Liu et al., ICML 2024, `finetune/data_split/chapman` of its repository.
"""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from dbeta_lib.data import snomed
from dbeta_lib.data.csv_text import read_text_table
from dbeta_lib.data.plan import Plan, labelled
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.errors import DBetaError

CODE_VERSION = 2  # raised whenever the same input would give another store
TABLE = "ConditionNames_SNOMED-CT.csv"
MERL_CLASSES = (
    "AQW", "UW", "SR", "WPW", "2AVB", "AT", "VB", "ARS", "STTC", "SA", "STE", "VPB", "TWO", "STTU",
    "ALS", "APB", "2AVB1", "PRIE", "CCR", "CR", "AF", "AVB", "QTIE", "LBBB", "VEB", "SVT", "RBBB",
    "1AVB", "STDD", "MI", "AFIB", "TWC", "PWC", "ERV", "RVH", "LVH", "ST", "JEB",
)  # fmt: skip
_RATE, _SAMPLES = 500, 5000
_REMEDY = (
    "download it again (https://physionet.org/content/ecg-arrhythmia/1.0.0/) and name the folder "
    f"that holds WFDBRecords/ and {TABLE}"
)
_EXACT = (
    f"the SNOMED codes of the header, one column per acronym of {TABLE} that a record here has; "
    "acronyms that share one code cannot be told apart, the table's first of them stands for all"
)
_MERL = (
    "MERL's 38 columns, made as MERL made them: a class is positive if its acronym is a substring "
    "of the record's acronyms joined with commas. This is a flaw of MERL's files, kept for "
    "comparison: AF is also positive in every AFIB, ST in STTC, STDD, STE and STTU, AVB in 1AVB, "
    "2AVB and 3AVB, VB in every AVB, SA in LVQRSAL, CR in CCR, 2AVB in 2AVB1; csn is exact. SB and "
    "others have no column, and MERL leaves out records that have only such"
)


def plan(source: Path | str, *, sampling_rate: int = 500) -> Plan:
    """What CSN's folder `source` holds.

    sampling_rate: Hz of the store; the recordings have 500. Extra columns: `dx`, the header's
    SNOMED codes, and `acronyms`, both in the header's order. Raises DBetaError naming the file and
    remedy, UsageError for a wrong folder or rate.
    """
    source = snomed.check_call(source, sampling_rate, _REMEDY)
    conditions = read_conditions(source / TABLE)
    listing = snomed.list_folder(source)
    if not listing.headers:
        raise DBetaError(f"{source} has no record (*.hea) below it; {_REMEDY}")
    found, aside = snomed.read_notes(source, listing.headers)
    acronyms = {
        name: tuple(conditions[code][0] for code in note.codes if code in conditions)
        for name, note in found.items()
    }
    records = snomed.record_rows(found)
    records["acronyms"] = [",".join(names) for names in acronyms.values()]
    words = _EXACT + _shared(conditions)
    if left := snomed.unnamed(found.values(), conditions):
        words += f"; codes that the table does not name, with their records: {left}"
    return Plan(
        records,
        functools.partial(read_wfdb, str(source), sampling_rate=_RATE, samples=_SAMPLES),
        "1.0.0 by its layout; the files name no version",
        snomed.checksum(source, listing, [source / TABLE]),
        {
            "csn": (exact_labels(acronyms), words),
            "csn-merl": (labelled(merl_labels(acronyms)), _MERL),
        },
        listing.aside + aside,
    )


def source_checksum(source: Path | str, *, sampling_rate: int = 500) -> str:
    """What `prepare` would read: hash of the table, the headers and the signal files' sizes."""
    source = snomed.check_call(source, sampling_rate, _REMEDY)
    read_conditions(source / TABLE)
    return snomed.checksum(source, snomed.list_folder(source), [source / TABLE])


def read_conditions(path: Path) -> dict[str, tuple[str, ...]]:
    """SNOMED code -> its acronyms, in the table's order; the first is the one that is used.

    MERL's `diagnose` column has the first ones too. Raises DBetaError naming file and fault.
    """
    if not path.is_file():
        raise DBetaError(f"{path} is missing; {_REMEDY}")
    try:
        frame = read_text_table(path)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise DBetaError(f"{path} is damaged ({str(error).splitlines()[0]}); {_REMEDY}") from error
    frame.columns = [column.replace(" ", "").lower() for column in frame.columns]
    if absent := sorted({"acronymname", "snomed_ct"} - set(frame.columns)):
        raise DBetaError(f"{path} has no column {', '.join(absent)}; {_REMEDY}")
    names, codes = frame["acronymname"].str.strip(), frame["snomed_ct"].str.strip()
    good = names.str.fullmatch("[A-Za-z0-9]{1,12}") & codes.str.fullmatch("[0-9]{5,18}")
    if frame.empty or not good.all():
        line = "no line" if frame.empty else f"line {int((~good).to_numpy().argmax()) + 2}"
        raise DBetaError(f"{path}: {line} has an acronym and its code; {_REMEDY}")
    found: dict[str, tuple[str, ...]] = {}
    for name, code in zip(names, codes):
        found[code] = (*found.get(code, ()), name)
    return found


def _shared(conditions: Mapping[str, tuple[str, ...]]) -> str:
    """The acronyms that share a code with an earlier one, in words."""
    groups = [names for names in conditions.values() if len(names) > 1]
    shown = ", ".join(f"{first} for {' '.join(others)}" for first, *others in groups)
    return f" ({shown})" if shown else ""


def exact_labels(acronyms: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """0/1 int8, index record_id, one alphabetical column per acronym that a record has."""
    seen = {name for of_record in acronyms.values() for name in of_record}
    return snomed.label_frame(acronyms, sorted(seen))


def merl_labels(acronyms: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """0/1 int8, index record_id, columns MERL_CLASSES: by substring, as MERL's files have them."""
    found = {
        record: [name for name in MERL_CLASSES if name in joined]
        for record, joined in ((record, ",".join(names)) for record, names in acronyms.items())
    }
    return snomed.label_frame(found, MERL_CLASSES)


def label_difference(labels: SignalStore | Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What MERL's substrings add, class by class in MERL's order, for a table.

    labels: a store of CSN, or its frames by task ("csn", "csn-merl"). Columns: class, exact
    positives, substring positives, false positives by substring (records; several windows of one
    count once).
    """
    if isinstance(labels, SignalStore):
        labels = {task: labels.labels(task) for task in ("csn", "csn-merl")}
    exact, merl = (labels[task] for task in ("csn", "csn-merl"))
    merl = merl[~merl.index.duplicated()]
    exact = exact[~exact.index.duplicated()].reindex(columns=merl.columns, fill_value=0)
    exact = exact.loc[merl.index]
    return pd.DataFrame(
        {
            "class": merl.columns,
            "exact positives": exact.sum().to_numpy(),
            "substring positives": merl.sum().to_numpy(),
            "false positives by substring": ((merl == 1) & (exact == 0)).sum().to_numpy(),
        }
    )
