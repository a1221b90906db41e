"""Reading many records in worker processes, results in the order of the records."""

import itertools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dbeta_lib.data.placing import sentence_of
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.progress import tqdm

_CHUNK = 32  # records per message
_AHEAD = 4  # chunks per worker that may wait, so that memory stays flat
# glibc gives memory of this size back to the system after each use, and taking it again costs more
# than what is computed in it; other systems do not read these names.
_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "OMP_NUM_THREADS": "1",
}  # fmt: skip


def each(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
    """`functools.partial(each, function)` is what `ordered_map` takes for a function of one job."""
    return map(function, jobs)


def ordered_map(
    function: Callable[[Sequence[Any]], Iterable[Any]],
    jobs: Sequence[Any],
    workers: int = 1,
    progress: bool = True,
    label: str = "",
    spool: Path | str | None = None,
) -> Iterator[Any]:
    """The result of each job, in order; in this process for one worker.

    function is a module's own (pickled by name) and gives a result for each of up to 32 jobs.
    Arrays among the results come through files in `spool` (a new folder for temporary files by
    default), which leave with the last result. Raises DBetaError when a worker is killed.
    """
    if workers < 1:
        raise UsageError(f"workers={workers}: give 1 (this process) or more")
    bar = tqdm(total=len(jobs), desc=label, unit="record", disable=not progress, mininterval=0.5)
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    with bar:
        is_here = workers == 1
        results = map(function, chunks) if is_here else _parallel(function, chunks, workers, spool)
        for result in itertools.chain.from_iterable(results):
            yield result
            bar.update()


def _parallel(
    function: Callable, chunks: Sequence[Any], workers: int, spool: Path | str | None
) -> Iterator[list[Any]]:
    """Chunks are handed out a few ahead of what was taken, never all at once."""
    # spawn: no threads or open files of this process are inherited, the same on every system
    context = multiprocessing.get_context("spawn")
    ahead = workers * _AHEAD
    with (
        tempfile.TemporaryDirectory(dir=spool, prefix="arrays-") as folder,
        ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool,
    ):

        def hand_out(number: int) -> Future:
            # The file of the chunk `ahead` before, whose arrays have been taken by now: to write
            # over what is there costs a tenth of a new file.
            path = os.path.join(folder, str(number % ahead))
            return pool.submit(_run_chunk, function, chunks[number], path)

        try:
            with _environment():  # all workers start with the first chunks
                waiting = deque(map(hand_out, range(min(ahead, len(chunks)))))
            for number in range(len(chunks)):
                results = _unpacked(*waiting.popleft().result())
                if number + ahead < len(chunks):
                    waiting.append(hand_out(number + ahead))
                yield results
        except BrokenProcessPool as error:
            raise DBetaError(
                "a worker process ended early: memory ran out, or a script without "
                "`if __name__ == '__main__':` started it; rerun with workers=1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _environment() -> Iterator[None]:
    """What a process started here finds in its environment; what was set before stays."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _run_chunk(function: Callable, jobs: Sequence[Any], path: str) -> tuple[bytes, list, str]:
    """The results without their arrays, the arrays' sizes, and the file that holds these.

    Through a pipe, in pieces of 64 kB, the arrays would cost more than it takes to make them.
    """
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(list(function(jobs)), protocol=5, buffer_callback=buffers.append)
    pieces = [buffer.raw() for buffer in buffers]
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.writelines(pieces)
            file.truncate()
    except OSError as error:
        raise sentence_of(error, Path(path).parent) from error
    return rest, [piece.nbytes for piece in pieces], path


def _unpacked(rest: bytes, sizes: list[int], path: str) -> list[Any]:
    """What `_run_chunk` packed, in memory of its own."""
    view = memoryview(np.fromfile(path, np.uint8))
    ends = itertools.accumulate(sizes)
    buffers = [view[end - size : end] for size, end in zip(sizes, ends)]
    return pickle.loads(rest, buffers=buffers)  # of our own worker


def _end_with_parent() -> None:
    """A worker whose parent was killed ends too, instead of waiting for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
