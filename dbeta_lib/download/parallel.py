"""Many small jobs on threads: reading from a network or hashing, where Python's lock is free."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")
_AHEAD = 4  # jobs per thread that may wait, so that memory stays flat with a million of them


def each(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, stop: threading.Event
) -> Iterator[Result]:
    """`function(item)` for each item, in the order in which they end.

    Sets `stop` when the caller leaves early or is interrupted, then waits for the running jobs:
    they are asked to look at it.
    """
    source = iter(items)
    waiting: set[Future] = set()
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            for item in islice(source, workers * _AHEAD - len(waiting)):
                waiting.add(pool.submit(function, item))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
