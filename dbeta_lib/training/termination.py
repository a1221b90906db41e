"""SIGTERM, as a cluster sends it before the time limit, noted and acted on between two steps."""

import signal
import threading


class Termination:
    """`with Termination() as asked:` `asked.stop` turns True when SIGTERM comes.

    Handlers can be set in the main thread only; elsewhere nothing is watched. Inside another one
    (a sweep of runs) both are told.
    """

    def __init__(self):
        self.stop = False
        self._before = None

    def __enter__(self) -> "Termination":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *error) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, number, frame) -> None:
        self.stop = True
        outer = getattr(self._before, "__self__", None)
        if isinstance(outer, Termination):
            outer.stop = True


def ignore_termination(worker: int) -> None:
    """For workers that make batches: a SIGTERM to the whole group is the main process's affair."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
