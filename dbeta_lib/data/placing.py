"""A folder built beside its place and renamed when it is whole: lock, rename, errors of the disk.

Killed at any moment, a preparation leaves either the old state or the new one, or the new one a
rename away, which `finish_interrupted` then does. A lock on the partial folder, held until it has
become the store or is gone, keeps two preparations apart; the system drops it when its owner dies.
"""

import errno
import fcntl
import os
import shutil
from pathlib import Path

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import disk_error


def finish_interrupted(dest: Path | str) -> bool:
    """Put a store in its place whose preparation was killed before its last rename; whether done.

    Only where nothing stands at `dest` and `<dest>.partial` is a whole store. Whether it is the
    one wanted is for the caller to check. Raises DBetaError while another process prepares it.
    """
    dest = Path(dest)
    partial = partial_of(dest)
    if dest.exists() or not (partial / "store.json").is_file():
        return False
    lock = lock_folder(partial)
    try:
        SignalStore.open(partial)
    except DBetaError:  # damaged: it is prepared again
        return False
    else:
        put_in_place(partial, dest)
        return True
    finally:
        os.close(lock)


def partial_of(dest: Path) -> Path:
    """Where the folder is built."""
    return dest.with_name(dest.name + ".partial")


def lock_folder(folder: Path) -> int:
    """Lock a folder for this process. Raises DBetaError when another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Renamed or removed between the two calls, it is no longer the folder that was meant.
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    except OSError as error:
        os.close(descriptor)
        raise DBetaError(
            f"another process is preparing {folder.with_suffix('')}; wait for it or end it"
        ) from error
    return descriptor


def put_in_place(partial: Path, dest: Path) -> None:
    """Put the finished folder in its place; the store that stood there goes."""
    old = dest.with_name(f".{dest.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if dest.exists():
        os.replace(dest, old)
    try:
        os.replace(partial, dest)
    except BaseException:
        if old.exists() and not dest.exists():
            os.replace(old, dest)
        raise
    shutil.rmtree(old, ignore_errors=True)
    parent = os.open(dest.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def sentence_of(error: OSError, path: Path) -> Exception:
    """A full disk, or a limit on the size of files, in one sentence; any other error as it is."""
    if error.errno == errno.EFBIG:
        return DBetaError(
            f"{path} was not written: the largest file allowed here is too small; raise the limit "
            "(ulimit -f) or name a folder on another disk"
        )
    return disk_error(error, path)
