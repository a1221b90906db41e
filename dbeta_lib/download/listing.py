"""Lists of files and their hashes, and the paths in them, read with distrust."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dbeta_lib.errors import DBetaError

PART = ".part"  # ending of a file that is being fetched
MAX_LIST_BYTES = 1 << 30  # MIMIC-IV-ECG's list has about 0.2 GB
_LINE = re.compile(r"\\?([0-9a-fA-F]{64})[ \t]+\*?(.+)", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:", re.ASCII)
_MAX_PATH, _MAX_NAME, _MAX_DEPTH = 1000, 200, 16  # the longest published path has 60 characters


def safe_path(text: str) -> str:
    """`text` as a path below some folder, "./" at its begin taken off.

    Raises ValueError with a few words when it is absolute, has "..", or is absurd otherwise.
    """
    path = text.removeprefix("./")
    names = path.split("/")
    if path.startswith("/") or _DRIVE.match(path):
        raise ValueError("an absolute path")
    if any(name in ("", ".", "..") for name in names):
        raise ValueError("a path with '..' or an empty name")
    if "\\" in path or not path.isprintable():
        raise ValueError("a path with odd characters")
    if len(path) > _MAX_PATH or len(names) > _MAX_DEPTH or max(map(len, names)) > _MAX_NAME:
        raise ValueError("a path too long or too deep")
    if path.endswith(PART):
        raise ValueError(f"a name ending with {PART}")
    return path


def inside(folder: Path, path: str) -> Path:
    """`folder/path`. Raises DBetaError when a link stands on the way below `folder`, or at its end.

    path: as `safe_path` returns it.
    """
    place = folder
    for name in PurePosixPath(path).parts:
        place = place / name
        if place.is_symlink():
            raise DBetaError(f"{place} is a link, and links are not followed; remove it")
    return place


def parse_sums(lines: Iterable[str], file: Path | str) -> dict[str, str]:
    """{path: hexadecimal SHA-256} of lines "sha256  path" as sha256sum writes them, in order.

    Raises DBetaError naming `file` and the line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        try:
            path = safe_path(match[2]) if match else ""
        except ValueError as error:
            raise _bad(file, number, f"{error}: '{line[66:120]}'") from None
        if not match:
            raise _bad(file, number, "no 'sha256  path'")
        if found.setdefault(path, match[1].lower()) != match[1].lower():
            raise _bad(file, number, f"a second hash of {path}")
    both = sorted(folders(found).intersection(found))
    if both:
        raise DBetaError(f"{file} lists {both[0]} as a file and as a folder; get the list again")
    return found


def folders(paths: Iterable[str]) -> set[str]:
    """Every folder that one of the files lies in, at any depth."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def read_sums(file: Path) -> dict[str, str]:
    """`parse_sums` of a file. Raises DBetaError naming it when it is damaged or absurdly large."""
    if file.stat().st_size > MAX_LIST_BYTES:
        raise DBetaError(f"{file} is no list of hashes (larger than 1 GiB); get it again")
    try:
        with open(file, encoding="utf-8") as lines:
            return parse_sums(lines, file)
    except UnicodeDecodeError as error:
        raise DBetaError(f"{file} is damaged ({error.reason}); get it again") from error


def _bad(file: Path | str, number: int, what: str) -> DBetaError:
    return DBetaError(f"{file}, line {number}: {what}; delete the file and get it again")
