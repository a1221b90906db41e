"""Datasets as signal stores: one table of loaders, one way to make or reuse a store."""

import importlib
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.writer import finish_interrupted
from dbeta_lib.errors import DBetaError, UsageError, nearest

# name -> module with CODE_VERSION, prepare(), and source_checksum() if it reads a folder
DATASETS = {
    "synthetic": "dbeta_lib.data.synthetic",
    "ptb-xl": "dbeta_lib.data.ptb_xl",
}


def loader(name: str) -> ModuleType:
    """The module of a dataset. Raises UsageError for an unknown name, with the nearest."""
    if name not in DATASETS:
        raise UsageError(f"'{name}' is no dataset of this kit{nearest(name, DATASETS)}")
    return importlib.import_module(DATASETS[name])


def ensure_store(
    name: str,
    source: Path | str | None,
    dest: Path | str,
    *,
    workers: int = 1,
    progress: bool = True,
    **options: Any,
) -> SignalStore:
    """The store `dest`, reused when what made it is unchanged, else prepared afresh.

    Compared are the source's checksum, the options and the preparation code's version. One line
    says which of the two it was. Raises UsageError for an unknown dataset or option.
    """
    module = loader(name)
    given = _with_defaults(module, name, options)
    if source is None and hasattr(module, "source_checksum"):
        raise UsageError(f"{name} is read from a folder; name it")
    if source is not None and not Path(source).is_dir():
        raise UsageError(f"{source} is no folder; name the folder of {name}")
    finish_interrupted(dest)  # killed at its last rename: whether it is the one wanted comes next
    why = _why_prepare(module, name, source, Path(dest), given)
    if not why:
        store = SignalStore.open(dest)
        print(f"{dest}: {name} is prepared and unchanged ({len(store)} rows), used as it is")
        return store
    print(f"{dest}: preparing {name} ({why})")
    return module.prepare(source, dest, workers=workers, progress=progress, **given)


def _with_defaults(module: ModuleType, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of the loader, those not given at their defaults."""
    parameters = inspect.signature(module.prepare).parameters.values()
    known = {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in ("workers", "progress")
    }
    for option in options:
        if option not in known:
            raise UsageError(f"{name} has no option '{option}'{nearest(option, known)}")
    return known | options


def _why_prepare(
    module: ModuleType, name: str, source: Path | str | None, dest: Path, options: dict
) -> str:
    """Why the store must be prepared; "" when it stands and is what it would be."""
    if not (dest / "store.json").is_file():
        return "there is no store yet"
    try:
        meta = SignalStore.open(dest).meta
    except DBetaError as error:
        return str(error)
    checksum = "" if source is None else module.source_checksum(source, **options)
    made = meta.get("preparation", {})
    if meta["name"] != name:
        return f"the store there is of {meta['name']}"
    if made.get("code_version") != module.CODE_VERSION:
        return "the preparation's code has changed"
    if made.get("options") != json.loads(json.dumps(options)):
        return "the options have changed"
    if meta["source"]["checksum"] != checksum:
        return "the data folder has changed"
    return ""
