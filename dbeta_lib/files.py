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
        flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise_disk_error(error, path)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until the file is on the disk: what is renamed after that survives a power cut whole."""
    with open(path, "rb") as written:
        os.fsync(written.fileno())


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


def read_json(path: Path | str, remedy: str = "delete it and make it again") -> Any:
    """Read a JSON file. `remedy`: what to do about a damaged one.

    Raises DBetaError naming the file where it is absent, no file that can be read, damaged, or
    gives one name two values, of which JSON readers silently keep the last.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=_each_once)
    except FileNotFoundError:
        raise DBetaError(f"{path} is not there; make it first") from None
    except OSError as error:
        raise DBetaError(f"{path} cannot be read ({error.strerror}); name a JSON file") from error
    except ValueError as error:  # of JSON, of the text's encoding, of a name given twice
        raise DBetaError(f"{path} is damaged ({error}); {remedy}") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The table of a JSON object. Raises ValueError for a name that stands in it twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{twice}' is given twice")
    return table


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
