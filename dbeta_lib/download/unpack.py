"""Zip archives unpacked with distrust: below one folder, no links, no more than is announced."""

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dbeta_lib.download.listing import PART, folders, inside, safe_path
from dbeta_lib.download.summary import readable
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import raise_disk_error
from dbeta_lib.progress import tqdm

MAX_MEMBERS = 200_000
MAX_BYTES = 64 << 30  # of all members together
_CHUNK = 1 << 20


def unpack(
    file: Path, dest: Path, strip: str = "", keep: Collection[str] = (), progress: bool = True
) -> int:
    """Unpack the archive `file` below `dest`; the number of members written.

    strip: a leading folder that members lose. keep: paths that are not overwritten. Members that
    are there already, with the size and CRC-32 that the archive names, are not written again.
    Raises DBetaError naming the archive and the member.
    """
    with _opened(file) as archive:
        wanted = [(p, m) for p, m in members(archive, file, strip).items() if p not in keep]
        new = [(p, m) for p, m in wanted if not is_there(inside(dest, p), m)]
        _check_disk(file, dest, sum(member.file_size for _, member in new))
        for path, member in tqdm(new, file.name, unit="file", disable=not progress, mininterval=1):
            _write(archive, member, inside(dest, path))
    return len(new)


def compare(file: Path, dest: Path, strip: str, keep: Collection[str]) -> dict[str, str]:
    """{path: "right" | "missing" | "wrong"} of an archive's members, as they lie below `dest`."""
    found = {}
    with _opened(file) as archive:
        for path, member in members(archive, file, strip).items():
            place = dest / path
            if path not in keep:
                state = "right" if is_there(place, member) else "wrong"
                found[path] = state if os.path.lexists(place) else "missing"
    return found


def members(archive: zipfile.ZipFile, file: Path, strip: str = "") -> dict[str, zipfile.ZipInfo]:
    """{path below the folder: member} of the files in an archive; Finder's droppings left out.

    Raises DBetaError when one has no safe path, is a link or encrypted, or all are too much.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS or sum(member.file_size for member in infos) > MAX_BYTES:
        raise DBetaError(f"{file} would unpack to more than any dataset; nothing was unpacked")
    for member in infos:
        name = member.filename
        if member.is_dir() or name.startswith("__MACOSX/") or name.endswith(".DS_Store"):
            continue
        try:
            path = safe_path(name)
        except ValueError as error:
            raise _refused(file, name, str(error)) from None
        if strip and path.startswith(f"{strip}/"):
            path = path.removeprefix(f"{strip}/")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _refused(file, name, "a link")
        if member.flag_bits & 1:
            raise _refused(file, name, "encrypted")
        if path in found:
            raise _refused(file, name, "there twice")
        found[path] = member
    both = folders(found).intersection(found)
    if both:
        raise _refused(file, min(both), "a file and a folder")
    return found


def is_there(place: Path, member: zipfile.ZipInfo) -> bool:
    """Whether the file `place` has a member's size and CRC-32; a link has not."""
    if place.is_symlink() or not place.is_file() or place.stat().st_size != member.file_size:
        return False
    crc = 0
    with open(place, "rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc == member.CRC


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> None:
    """Beside its place, then renamed; zipfile checks the CRC-32 and the announced size."""
    part = place.with_name(place.name + PART)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with archive.open(member) as source, open(part, "xb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        os.replace(part, place)
    except OSError as error:
        raise_disk_error(error, place)


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """The archive. Raises DBetaError where it, or what is read from it inside, is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DBetaError(
            f"{file} is damaged ({error}); delete it and run the same command again"
        ) from error


def _check_disk(file: Path, dest: Path, needed: int) -> None:
    free = shutil.disk_usage(dest).free
    if needed > free:
        raise DBetaError(
            f"{dest} has {readable(free)} free and {file.name} needs {readable(needed)} to unpack; "
            "free some space and run the same command again"
        )


def _refused(file: Path, name: str, what: str) -> DBetaError:
    return DBetaError(f"{file} is refused: member {name[:100]!r} is {what}; nothing was unpacked")
