"""Reading many records in worker processes, results in the order of the records."""

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.progress import tqdm

_CHUNK = 32  # records per message
_AHEAD = 4  # chunks per worker that may wait, so that memory stays flat


def ordered_map(
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    workers: int = 1,
    progress: bool = True,
    label: str = "",
) -> Iterator[Any]:
    """`function(job)` for each job, in order; in this process for one worker.

    function is a module's own (pickled by name). Raises DBetaError when a worker is killed.
    """
    if workers < 1:
        raise UsageError(f"workers={workers}: give 1 (this process) or more")
    bar = tqdm(total=len(jobs), desc=label, unit="record", disable=not progress, mininterval=0.5)
    with bar:
        results = map(function, jobs) if workers == 1 else _parallel(function, jobs, workers)
        for result in results:
            yield result
            bar.update()


def _parallel(function: Callable, jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    """Chunks are handed out a few ahead of what was taken, never all at once."""
    starts = iter(range(0, len(jobs), _CHUNK))
    # spawn: no threads or open files of this process are inherited, the same on every system
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        waiting = []
        try:
            while True:
                while len(waiting) < workers * _AHEAD:
                    start = next(starts, None)
                    if start is None:
                        break
                    waiting.append(pool.submit(_run_chunk, function, jobs[start : start + _CHUNK]))
                if not waiting:
                    return
                yield from waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise DBetaError(
                "a worker process ended early: memory ran out, or a script without "
                "`if __name__ == '__main__':` started it; rerun with workers=1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _run_chunk(function: Callable, jobs: Sequence[Any]) -> list[Any]:
    return [function(job) for job in jobs]


def _end_with_parent() -> None:
    """A worker whose parent was killed ends too, instead of waiting for ever."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parent = multiprocessing.parent_process()

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
