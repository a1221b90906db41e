"""Files are written beside and renamed, so that no partial file ever looks whole."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from dbeta_lib.errors import DBetaError


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there when the block ends well.

    Raises DBetaError when the disk is full, naming the file; the old file is then untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise_disk_error(error, path)
    finally:
        temporary.unlink(missing_ok=True)


def disk_error(error: OSError, path: Path | str) -> Exception:
    """The sentence for a full disk; any other error of the system as it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DBetaError(f"the disk is full: {path} was not written; free some space and rerun")
    return error


def raise_disk_error(error: OSError, path: Path | str) -> NoReturn:
    """Raise `disk_error`. Never makes an error its own cause: a walk along causes would not end."""
    named = disk_error(error, path)
    if named is error:
        raise error
    raise named from error


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path | str) -> Any:
    """Read a JSON file. Raises DBetaError naming the file when it is absent or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DBetaError(f"{path} is not there; make it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DBetaError(f"{path} is damaged ({error}); delete it and make it again") from error


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
