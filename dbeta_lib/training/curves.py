"""Curves of a run: one CSV whose rows depend on the run alone (no clock), and TensorBoard."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbeta_lib.errors import DBetaError
from dbeta_lib.files import atomic_write, raise_disk_error


class Curves:
    """Appends rows to `curves.csv`; a cell without a value is empty.

    start: rows of later steps are removed first, as a resumed run writes them again; 0 starts the
    file anew. Numbers are written with seven significant digits.
    """

    def __init__(
        self, folder: Path, columns: tuple[str, ...], start: int = 0, tensorboard: bool = True
    ):
        self.path, self.columns = folder / "curves.csv", ("step", *columns)
        self.folder = folder / "tensorboard"
        kept = _rows(self.path, self.columns, start) if start else []
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join([",".join(self.columns) + "\n", *kept]), encoding="utf-8")
        self._events = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.folder), purge_step=start + 1)

    def add(self, step: int, values: dict[str, float]) -> None:
        """One row; `values` has column names as keys. Raises DBetaError when the disk is full."""
        cells = [f"{values[name]:.7g}" if name in values else "" for name in self.columns[1:]]
        with _full_disk_named(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(",".join([str(step), *cells]) + "\n")
        self.extra(step, values)

    def extra(self, step: int, values: dict[str, float]) -> None:
        """Numbers for TensorBoard only, such as the speed."""
        with _full_disk_named(self.folder):
            for name, value in values.items() if self._events else ():
                self._events.add_scalar(name, value, step)

    def sync(self) -> None:
        """Put the rows so far on the disk, before a checkpoint says that they are there."""
        with _full_disk_named(self.path), open(self.path, "rb") as file:
            os.fsync(file.fileno())
        if self._events:
            with _full_disk_named(self.folder):
                self._events.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._events:
            with _full_disk_named(self.folder):
                self._events.close()


@contextmanager
def _full_disk_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise_disk_error(error, path)


def _rows(path: Path, columns: tuple[str, ...], last: int) -> list[str]:
    """Whole lines up to step `last`; a line cut short by a kill belongs to a later step."""
    if not path.exists():
        raise DBetaError(f"{path} is gone, so the run cannot be resumed; start it anew (fresh)")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines or tuple(next(csv.reader(io.StringIO(lines[0])))) != columns:
        raise DBetaError(f"{path} is not this run's file; start the run anew (fresh)")
    whole = [
        line for line in lines[1:] if line.endswith("\n") and line.count(",") + 1 == len(columns)
    ]
    return [line for line in whole if int(line.split(",")[0]) <= last]
