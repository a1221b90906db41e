"""Time of a run, and of its steps without evaluations and checkpoints."""

import statistics
import time


class Clock:
    """before: seconds that an interrupted run had taken up to its checkpoint."""

    def __init__(self, step: int = 0, before: float = 0.0):
        self.before, self.started = before, time.perf_counter()
        self.mark, self.marked_step = self.started, step
        self.paces: list[float] = []  # seconds per step, one for each row of the curves

    @property
    def seconds(self) -> float:
        """Since the run began, evaluations and checkpoints included."""
        return self.before + time.perf_counter() - self.started

    def row(self, step: int) -> float:
        """Seconds per step since the last row; called where the device has been waited for."""
        now = time.perf_counter()
        self.paces.append((now - self.mark) / max(1, step - self.marked_step))
        self.mark, self.marked_step = now, step
        return self.paces[-1]

    def skip(self, step: int) -> None:
        """Leave out what was not a step (an evaluation, a checkpoint) and begin anew."""
        self.mark, self.marked_step = time.perf_counter(), step

    def pace(self, steps: int) -> float:
        """Median seconds per step; the mean over `steps` where no row was timed."""
        return statistics.median(self.paces) if self.paces else self.seconds / steps
