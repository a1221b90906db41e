"""Paths below a data folder: names in its tables and headers may not lead out of it."""

import os
import stat
from pathlib import Path

from dbeta_lib.data.signals import Rejected


def inside(folder: Path | str, name: str) -> str:
    """The path of `name`, refused (Rejected) when it leaves the folder or passes through a link.

    name: parts with "/" between. That the last one is no link is for `size_of` to check.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or os.path.isabs(name) or ".." in parts or "\x00" in name:
        raise Rejected("path refused", f"'{name}' is no path below the data folder")
    path = os.fspath(folder)
    for depth, part in enumerate(parts[:-1]):
        path = os.path.join(path, part)
        if os.path.islink(path):
            shown = "/".join(parts[: depth + 1])
            raise Rejected("path refused", f"{shown} is a link; links are not followed")
    return os.path.join(path, parts[-1])


def size_of(path: str, shown: str) -> int:
    """Size in bytes of a plain file; a link is refused. Raises Rejected naming it as `shown`."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise Rejected("file missing", shown) from None
    except OSError as error:
        raise Rejected("unreadable", f"{shown}: {error.strerror}") from None
    if stat.S_ISLNK(status.st_mode):
        raise Rejected("path refused", f"{shown} is a link; links are not followed")
    if not stat.S_ISREG(status.st_mode):
        raise Rejected("unreadable", f"{shown} is no file")
    return status.st_size
