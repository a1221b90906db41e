"""Which signals of a file are not used, since they have no name of the twelve leads."""

from pathlib import Path

from dbeta_lib.data import formats
from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import read_header

SHOWN = 8  # names; recordings of the night have dozens


def left_out(path: Path) -> tuple[str, ...]:
    """Names of signals that are no leads, as the file has them; () for arrays, which have none.

    path: a file that `formats.read_recording` has read.
    """
    try:
        return tuple(label for label in _labels(path) if label.strip() and not _is_lead(label))
    except (Rejected, ValueError, OSError):  # the file was read before: changed meanwhile
        return ()


def told(names: tuple[str, ...]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return " ".join(names[:SHOWN]) + more


def _labels(path: Path) -> list[str]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return []
    if suffix == ".hea":
        return [signal.lead for signal in read_header(path.parent, path.stem).signals]
    if suffix == ".csv":
        return formats.csv_columns(path)
    return [s.label for s in formats.signals_of(path, suffix or ".dcm", formats.file_size(path))]


def _is_lead(label: str) -> bool:
    """Whether the readers take it: "V1 (uV)" is a lead, "I/II" a difference of two."""
    found = parse_label(label)
    return found is not None and found[1] in ("", *formats.TO_MV)
