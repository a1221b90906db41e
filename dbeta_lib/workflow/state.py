"""What a run folder remembers: which notebook finished, from which inputs, in what time.

A notebook is unchanged while its key is: a hash over its cells, its parameters, the library's
files, the data folders' fingerprints and what the notebooks before it did. One file,
`workflow.json`, written whole after every change; its presence marks the folder as ours.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbeta_lib.command_line import MARKER, ROOT, Plan
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import read_json, sha256_bytes, sha256_file, write_json
from dbeta_lib.notebook_parameters import Notebook

FORMAT = 1
LOCK = ".lock"
LIBRARY_FILES = {".py", ".json", ".csv", ".mplstyle"}
COUNTED_FILES = 100_000  # of a data folder: enough to see a download grow, quick on a slow disk


class State:
    """The records of one run folder: `notebooks` (name -> record) and `timings` (name -> seconds).

    A record has status (running, finished, failed, stopped), key, effect, seconds, ended, message.
    """

    def __init__(self, out: Path) -> None:
        """Read the folder's state; an empty one where there is none yet."""
        self.path = out / MARKER
        stored = read_json(self.path) if self.path.exists() else {"format": FORMAT}
        if stored.get("format") != FORMAT:
            raise DBetaError(f"{self.path} is of another version; run once with --fresh")
        self.notebooks: dict[str, dict[str, Any]] = stored.get("notebooks", {})
        self.timings: dict[str, dict[str, Any]] = stored.get("timings", {})

    def save(self, profile: str) -> None:
        """Write the state whole."""
        content = {"format": FORMAT, "profile": profile}
        write_json(self.path, content | {"notebooks": self.notebooks, "timings": self.timings})

    def record(self, profile: str, name: str, **changes: Any) -> None:
        """Change a notebook's record and save."""
        self.notebooks[name] = self.notebooks.get(name, {}) | changes
        self.save(profile)


def finished(records: dict[str, dict[str, Any]], name: str) -> bool:
    """Whether the last run of a notebook ended well."""
    return records.get(name, {}).get("status") == "finished"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the run folder; DBetaError where another run holds it. Freed even by kill -9."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / LOCK, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "?"
            raise DBetaError(
                f"another run (process {holder}) is using {out}; wait for it or name another --out"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def empty(out: Path) -> None:
    """Remove a run's products. Only a folder with our marker; only timings and lock remain."""
    if not (out / MARKER).exists():
        return
    try:
        timings = json.loads((out / MARKER).read_text(encoding="utf-8")).get("timings", {})
    except (ValueError, AttributeError):
        timings = {}  # a damaged or foreign state has nothing to keep
    children = [child for child in out.iterdir() if child.name not in (LOCK, MARKER)]
    for child in children:
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    write_json(out / MARKER, {"format": FORMAT, "notebooks": {}, "timings": timings})


def cells_hash(notebook: Notebook, code_only: bool) -> str:
    """Hash of a notebook's cells: all of them, or the code alone (prose changes no product)."""
    cells = json.loads(notebook.path.read_text(encoding="utf-8"))["cells"]
    sources = [
        (c["cell_type"], "".join(c["source"]))
        for c in cells
        if c["cell_type"] == "code" or not code_only
    ]
    return _hash(sources)


def library_hash() -> str:
    """Hash over the library's files: code, tables, prompts, styles."""
    library = ROOT / "dbeta_lib"
    files = sorted(p for p in library.rglob("*") if p.suffix in LIBRARY_FILES)
    return _hash([(str(p.relative_to(library)), sha256_file(p)) for p in files])


def folder_fingerprint(folder: str) -> str:
    """Names, sizes and times of the tables at the top of a data folder, and how many files it has.

    Cheap on purpose: recordings are not read, and counting stops at `COUNTED_FILES`.
    """
    tables = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_file() and entry.name.lower().endswith((".csv", ".csv.gz", ".txt")):
                tables.append((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns))
    count = 0
    for _, _, files in os.walk(folder):
        count += len(files)
        if count >= COUNTED_FILES:
            count = COUNTED_FILES
            break
    return _hash([folder, tables, count])


class Keys:
    """The keys of a plan's notebooks; library and data folders are read once."""

    def __init__(self, plan: Plan) -> None:
        """Hash the library and the data folders."""
        self.plan = plan
        self.common = [library_hash(), {k: folder_fingerprint(v) for k, v in plan.data.items()}]

    def of(self, notebook: Notebook, records: dict[str, dict[str, Any]]) -> tuple[str, str]:
        """(key, effect): what the notebook depends on, and what those after it see of it.

        `records` (as `State.notebooks`) tell what the notebooks before it did.
        """
        parameters = self.plan.parameters[notebook.name]
        before = [
            (n.name, records[n.name]["effect"])
            for n in self.plan.notebooks
            if n.number < notebook.number and finished(records, n.name)
        ]
        rest = [parameters, self.common, before]
        return _hash([cells_hash(notebook, False), *rest]), _hash(
            [cells_hash(notebook, True), *rest]
        )


def _hash(value: Any) -> str:
    """SHA-256 of a value's JSON."""
    return sha256_bytes(json.dumps(value, sort_keys=True).encode())


def remove_temporary(folder: Path) -> None:
    """Delete what an interrupted run left half-written in a product folder."""
    for path in [*folder.glob("*.running.ipynb"), *folder.glob(".*.partial")]:
        path.unlink()
