"""Is a folder the dataset as published? Every file that is there is hashed.

PhysioNet's datasets are compared with the `SHA256SUMS.txt` in the folder itself: it shows what was
damaged or forgotten on the way, and which version it is, not who made the list.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dbeta_lib.download.catalogue import SUMS, Dataset, Remote, find
from dbeta_lib.download.fetch import MAX_FILE_BYTES
from dbeta_lib.download.listing import inside, read_sums
from dbeta_lib.download.parallel import each
from dbeta_lib.download.run import RECORDED
from dbeta_lib.download.summary import Summary
from dbeta_lib.download.unpack import compare
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import sha256_file
from dbeta_lib.progress import tqdm

_THREADS = 2  # hashing is limited by the disk


def verify(name: str, folder: Path | str, *, progress: bool = True) -> Summary:
    """Compare a downloaded dataset with its published hashes, whoever downloaded it.

    A part that may be left out (one of PTB-XL's rates, a source of CinC 2021) and files that the
    kit does not read are told apart from what is missing. Nothing is changed. `Summary.check`
    raises where something is missing or wrong.
    Raises UsageError for a wrong name or folder, DBetaError when there is no list to compare with.
    """
    dataset, folder = find(name), Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the one that {name} was downloaded into")
    listed = _listed(dataset, folder)
    left_out = _left_out(dataset, folder, listed)
    found: dict[str, list[str]] = defaultdict(list)
    for path, state in _states(folder, listed, progress):
        if state == "missing" and dataset.part(path) in left_out and dataset.part(path):
            continue
        if state == "missing" and not dataset.needed(path):
            state = "not_needed"
        found[state].append(path)
    for path, state in _unpacked(folder, listed, found["missing"]):
        found[state].append(path)
    found["extra"] = _extra(folder, {path for paths in found.values() for path in paths})
    right = len(found.pop("right", []))
    lists = {state: tuple(sorted(paths)) for state, paths in found.items()}
    return Summary(name, folder, right=right, left_out=tuple(sorted(left_out)), **lists)


def _listed(dataset: Dataset, folder: Path) -> list[Remote]:
    """Every file that could be there; hashes of an own download fill what is not pinned."""
    if not dataset.files:
        sums = inside(folder, SUMS)
        if not sums.is_file():
            raise DBetaError(f"{sums} is missing; get it from {dataset.base}{SUMS}")
        return [Remote(path, sha256) for path, sha256 in read_sums(sums).items() if path != SUMS]
    own = inside(folder, RECORDED)
    recorded = read_sums(own) if own.is_file() else {}
    return [replace(r, sha256=r.sha256 or recorded.get(r.path)) for r in dataset.files]


def _left_out(dataset: Dataset, folder: Path, listed: list[Remote]) -> set[str]:
    """Parts of which nothing is there; none when that holds for all: then they are missing."""
    parts = {dataset.part(remote.path) for remote in listed} - {""}
    here = {
        part
        for part in parts
        if (folder / part).is_dir()
        and any(r.path.startswith(part) and (folder / r.path).is_file() for r in listed)
    }
    return parts - here if here else set()


def _states(folder: Path, listed: list[Remote], progress: bool) -> Iterator[tuple[str, str]]:
    """(path, "right" | "wrong" | "too_large" | "missing" | "unchecked") of each listed file."""
    here = [remote for remote in listed if os.path.lexists(folder / remote.path)]
    names = {remote.path for remote in here}
    yield from ((r.path, "missing") for r in listed if r.path not in names)
    stop = threading.Event()

    def job(remote: Remote) -> tuple[str, str, int]:
        return (remote.path, *_state(folder, remote))

    total = sum((folder / remote.path).lstat().st_size for remote in here)
    bar = tqdm(
        total=total, desc="verify", unit="B", unit_scale=True, disable=not progress, mininterval=0.5
    )
    with bar, closing(each(job, here, _THREADS, stop)) as results:
        for path, state, size in results:
            bar.update(size)
            yield path, state


def _state(folder: Path, remote: Remote) -> tuple[str, int]:
    """State and bytes of a file that is there; a link, or a folder in its place, is wrong."""
    try:
        place = inside(folder, remote.path)
    except DBetaError:
        return "wrong", 0
    if not place.is_file():
        return "wrong", 0
    size = place.stat().st_size
    if size > (remote.bytes or MAX_FILE_BYTES):
        return "too_large", size
    if remote.sha256 is None:
        return "unchecked", size
    return ("right" if sha256_file(place) == remote.sha256 else "wrong"), size


def _unpacked(folder: Path, listed: list[Remote], missing: list[str]) -> Iterator[tuple[str, str]]:
    """States of the archives' members; where an archive is gone, its content is unchecked."""
    keep = {remote.path for remote in listed}
    for remote in listed:
        if remote.unpacks_to is None:
            continue
        if remote.path not in missing:
            yield from compare(folder / remote.path, folder, remote.strip, keep).items()
        elif (folder / remote.unpacks_to).exists():
            missing.remove(remote.path)
            yield remote.unpacks_to, "unchecked"


def _extra(folder: Path, known: Iterable[str]) -> list[str]:
    """Files on no list; below an unchecked folder, which has none, they are not counted."""
    known = {*known, SUMS, RECORDED}
    found = []
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if (below / name).as_posix() not in known]
        found += [path for name in names if (path := (below / name).as_posix()) not in known]
    return found
