"""From a dataset's folder to its store, the same way for all: plan, read, cut, clean, write.

For a cluster's job array the work is split by record: `shard=(i, n)` makes part i of n as a store
of its own in `<dest>.shards/`, `merge` puts the parts together, and the bytes are those of a
preparation in one go.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dbeta_lib.data.plan import Plan
from dbeta_lib.data.pool import ordered_map
from dbeta_lib.data.signals import SECONDS, Rejected, Signal
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.wfdb_read import Recording
from dbeta_lib.data.windows import split, to_rows
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.errors import DBetaError, UsageError

_MOST_BYTES = 64 << 20  # of recordings that are held at a time, of hours-long ones in fact one


def write_store(
    plan: Plan,
    dest: Path | str,
    name: str,
    options: dict[str, Any],
    code_version: int,
    *,
    shard: tuple[int, int] | None = None,
    workers: int = 1,
    progress: bool = True,
) -> SignalStore:
    """Read what is planned and make the store `dest`, or one shard of it.

    options: what decides the content; sampling_rate, window and keep_seconds are read here. A
    record that cannot be kept is set aside with its reason. Raises DBetaError when none could be.
    """
    if shard:
        dest, plan = shard_path(dest, *shard), plan.block(*shard)
    hz = options["sampling_rate"]
    load = functools.partial(_load, plan.read, hz, options["window"], options["keep_seconds"])
    with StoreWriter(
        dest, name, hz, SECONDS * hz, plan.version, plan.checksum, options=options,
        code_version=code_version, reports_from_labels=plan.reports_from_labels,
        patients_known=plan.patients_known, shard=shard, records=plan.records,
    ) as writer:  # fmt: skip
        for entry in plan.aside:
            writer.set_aside(*entry)
        ids, sources = (plan.records[column].tolist() for column in ("record_id", "source"))
        outcomes = ordered_map(load, sources, workers, progress, f"{name} {hz} Hz", writer.partial)
        for number, outcome in enumerate(outcomes):
            for window, signal in outcome:
                if isinstance(signal, Rejected):
                    writer.set_aside(ids[number], _named(signal, sources[number]))
                else:
                    writer.add_of(number, window, signal)
        for task, (frame, convention) in plan.tasks.items():
            writer.labels(task, frame, convention)
        store = writer.close()
    if progress:
        print(store.summary())
    return store


def _load(
    read: Callable[[str], Recording], hz: int, window: str, keep_seconds: float,
    sources: Sequence[str],
) -> Iterator[list[tuple[int, Signal | Rejected]]]:  # fmt: skip
    """Each record's windows, cleaned; what is wrong comes back as a value, not as an exception."""
    held: list[list[Recording] | Rejected] = []
    size = 0
    for source in sources:
        try:
            recording = read(source)
            held.append(split(recording, window, keep_seconds))
            size += recording.samples.nbytes
        except Rejected as reason:
            held.append(reason)
        if size > _MOST_BYTES:
            yield from to_rows(held, hz)
            held, size = [], 0
    yield from to_rows(held, hz)


def _named(reason: Rejected, source: str) -> Rejected:
    """The same with the record's place in its detail."""
    if source in reason.detail:
        return reason
    return Rejected(reason.reason, f"{source}: {reason.detail}")


def shard_path(dest: Path | str, number: int, of: int) -> Path:
    """Where shard `number` (0, 1, ...) of `of` stands. Raises UsageError for impossible numbers."""
    if not (type(number) is type(of) is int and 0 <= number < of):
        raise UsageError(f"shard {number}/{of}: give i/n with i from 0 to n - 1")
    return Path(f"{dest}.shards") / f"{number}-of-{of}"


def merge(
    dest: Path | str, of: int, *, name: str = "", options: dict[str, Any] | None = None,
    progress: bool = True,
) -> SignalStore:  # fmt: skip
    """Put the `of` shards of `dest` together; the bytes are those of a preparation in one go.

    name, options: what the shards must have been made of, where given. The shards stay. Raises
    DBetaError naming the shards that are absent or made otherwise.
    """
    if type(of) is not int or of < 1:
        raise UsageError(f"merge of {of!r} shards: give a whole number, 1 or more")
    paths = [shard_path(dest, number, of) for number in range(of)]
    absent = [path for path in paths if not (path / "store.json").is_file()]
    if absent:
        shown = ", ".join(path.name for path in absent[:8]) + (", ..." if len(absent) > 8 else "")
        raise DBetaError(
            f"{absent[0].parent}: {len(absent)} of {of} shards are not finished ({shown}); "
            "prepare them first"
        )
    shards = [SignalStore.open(path) for path in paths]
    first = shards[0].meta
    for path, shard in zip(paths, shards):
        for key in ("name", "source", "preparation", "sampling_rate", "samples"):
            if shard.meta[key] != first[key]:
                raise DBetaError(
                    f"{path} was prepared from another {key} than {paths[0]}; prepare it again"
                )
    made = first["preparation"]["options"]
    for key, wanted in {"": name, **(options or {})}.items():
        found = made.get(key) if key else first["name"]
        if wanted not in ("", found):
            said = f"{key}={found}" if key else found
            raise DBetaError(
                f"{paths[0].parent} holds shards of {said}, asked for is {wanted}; "
                "give the command that made them, with --merge in place of --shard"
            )
    with StoreWriter(
        dest, first["name"], first["sampling_rate"], first["samples"],
        first["source"]["version"], first["source"]["checksum"],
        options=first["preparation"]["options"], code_version=first["preparation"]["code_version"],
        reports_from_labels=first["reports_from_labels"], patients_known=first["patients_known"],
    ) as writer:  # fmt: skip
        for shard in shards:
            writer.append(shard)
        for task in shards[0].tasks():
            frame = pd.concat([shard.raw_labels(task) for shard in shards])
            frame = frame[~frame.index.duplicated()]  # windows of one record have the same labels
            writer.labels(task, frame, shards[0].convention(task))
        store = writer.close()
    if progress:
        print(store.summary())
        print(f"{paths[0].parent} is no longer needed and may be removed")
    return store
