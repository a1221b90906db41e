"""Datasets as signal stores: one table of loaders, one way to make or reuse a store."""

import importlib
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from dbeta_lib.data import merl_splits
from dbeta_lib.data.placing import finish_interrupted
from dbeta_lib.data.prepare import merge, write_store
from dbeta_lib.data.signals import SECONDS
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.windows import check_window
from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.files import sha256_bytes, sha256_file

__all__ = ["DATASETS", "ensure_store", "loader", "merge", "open_store", "prepare"]

# name -> module. Each has CODE_VERSION, raised whenever the same input would give another store.
# One that reads a folder has plan(source, *, sampling_rate, ...) -> Plan, and source_checksum of
# the same arguments; one that makes its data has prepare(None, dest, ...).
DATASETS = {
    "synthetic": "dbeta_lib.data.synthetic",
    "ptb-xl": "dbeta_lib.data.ptb_xl",
    "mimic-iv-ecg": "dbeta_lib.data.mimic_iv_ecg",
    "cpsc2018": "dbeta_lib.data.cpsc2018",
    "csn": "dbeta_lib.data.csn",
    "code-test": "dbeta_lib.data.code_test",
    "cinc2021": "dbeta_lib.data.cinc2021",
    "folder": "dbeta_lib.data.folder",
}
_COMMON = {"window": "first", "keep_seconds": SECONDS, "splits": ""}  # options of every folder


def loader(name: str) -> ModuleType:
    """The module of a dataset. Raises UsageError for an unknown name, with the nearest."""
    if name not in DATASETS:
        raise UsageError(f"'{name}' is no dataset of this kit{nearest(name, DATASETS)}")
    return importlib.import_module(DATASETS[name])


def open_store(path: Path | str) -> SignalStore:
    """A finished store. Raises DBetaError naming the file that is absent, damaged or another."""
    return SignalStore.open(path)


def prepare(
    name: str,
    src: Path | str | None,
    dest: Path | str,
    hz: int = 500,
    *,
    workers: int = 2,
    progress: bool = True,
    shard: tuple[int, int] | None = None,
    **options: Any,
) -> SignalStore:
    """Make the store `dest` of dataset `name` from its folder `src`, as it was downloaded.

    >>> store = prepare("ptb-xl", "ptb-xl-1.0.3", "stores/ptb-xl", hz=100)  # doctest: +SKIP

    src: None for what is made here (synthetic). hz: the store's rate. workers: processes that read;
    1 = this one. shard: (i, n) for part i of n, see `merge`. options of every folder: window
    ("first" | "centre" | "all") and keep_seconds, see `windows.cut`; splits, a folder of MERL's
    published ones, see `merl_splits`. Others are the dataset's own, see its `plan`. The same input
    gives the same bytes, whatever the workers and shards.
    Raises UsageError for a wrong name, option or folder, DBetaError naming the file and remedy.
    """
    module = loader(name)
    _check_source(module, name, src)
    if shard is not None and not (isinstance(shard, tuple | list) and len(shard) == 2):
        raise UsageError(f"shard={shard!r}: give (i, n), part i of n")
    given = _with_defaults(module, name, {"sampling_rate": hz, **options})
    return _make(module, name, src, dest, given, workers, progress, shard)


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

    Compared are the source's checksum, the options (as for `prepare`, the rate is sampling_rate)
    and the preparation code's version. One line says which of the two it was. Raises UsageError for
    an unknown dataset or option.
    """
    module = loader(name)
    _check_source(module, name, source)
    given = _with_defaults(module, name, options)
    finish_interrupted(dest)  # killed at its last rename: whether it is the one wanted comes next
    why = _why_prepare(module, name, source, Path(dest), given)
    if not why:
        store = SignalStore.open(dest)
        print(f"{dest}: {name} is prepared and unchanged ({len(store)} rows), used as it is")
        return store
    print(f"{dest}: preparing {name} ({why})")
    return _make(module, name, source, dest, given, workers, progress)


def _make(
    module: ModuleType, name: str, source: Path | str | None, dest: Path | str,
    options: dict[str, Any], workers: int, progress: bool, shard: tuple[int, int] | None = None,
) -> SignalStore:  # fmt: skip
    if not _reads_folder(module):
        if shard:
            raise UsageError(f"{name} is made in one go; leave the shard out")
        return module.prepare(source, dest, workers=workers, progress=progress, **options)
    check_window(options["window"], options["keep_seconds"])
    own = {key: value for key, value in options.items() if key not in _COMMON}
    plan = module.plan(source, **own)
    if options["splits"]:
        plan.records["split"] = merl_splits.apply(plan.records, options["splits"], name)
        if progress:
            print(merl_splits.check(plan.records, options["splits"], name))
    return write_store(
        plan, dest, name, _recorded(options, name), module.CODE_VERSION,
        shard=shard, workers=workers, progress=progress,
    )  # fmt: skip


def _recorded(options: dict[str, Any], name: str) -> dict[str, Any]:
    """What a store keeps of its options: of files named there what they say, not where they lie."""
    options = dict(options)
    if options.get("splits"):
        listed = merl_splits.splits_of(options["splits"], name)
        options["splits"] = f"MERL's, {sha256_bytes(listed.to_csv().encode())[:12]}"
    if options.get("translations"):
        options["translations"] = sha256_file(options["translations"])[:12]
    return options


def _reads_folder(module: ModuleType) -> bool:
    return hasattr(module, "plan")


def _check_source(module: ModuleType, name: str, source: Path | str | None) -> None:
    if source is None and _reads_folder(module):
        raise UsageError(f"{name} is read from a folder; name it")
    if source is not None and not _reads_folder(module):
        raise UsageError(f"{name} is made, not read; drop its data folder {source}")
    if source is not None and not Path(source).is_dir():
        raise UsageError(f"{source} is no folder; name the folder of {name}")


def _with_defaults(module: ModuleType, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of the loader, those not given at their defaults."""
    makes = module.plan if _reads_folder(module) else module.prepare
    parameters = inspect.signature(makes).parameters.values()
    known = {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in ("workers", "progress")
    }
    if _reads_folder(module):
        known |= _COMMON
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
    own = {key: value for key, value in options.items() if key not in _COMMON}
    checksum = "" if source is None else module.source_checksum(source, **own)
    made = meta.get("preparation", {})
    if meta["name"] != name:
        return f"the store there is of {meta['name']}"
    if made.get("code_version") != module.CODE_VERSION:
        return "the preparation's code has changed"
    if made.get("options") != json.loads(json.dumps(_recorded(options, name))):
        return "the options have changed"
    if meta["source"]["checksum"] != checksum:
        return "the data folder has changed"
    return ""
