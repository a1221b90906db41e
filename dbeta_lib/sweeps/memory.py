"""The most memory that a run held: of the GPU where it computed there, else of the process."""

import resource
import sys
from pathlib import Path

import torch

_KERNEL_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of one ru_maxrss


class PeakMemory:
    """Begins when it is made.

    `of` says what `read` is about: "gpu", "process" (since this began), or "process, since its
    start" where the system cannot begin anew (macOS), so that an earlier run may have been larger.
    """

    def __init__(self):
        self.of = "process, since its start"
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self.of = "gpu"
        elif _begin_anew():
            self.of = "process"

    def read(self) -> int:
        """Bytes."""
        if self.of == "gpu":
            return torch.cuda.max_memory_allocated()
        if self.of == "process":
            lines = Path("/proc/self/status").read_text().splitlines()
            peak = next(line for line in lines if line.startswith("VmHWM"))
            return int(peak.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KERNEL_UNIT


def _begin_anew() -> bool:
    """Linux: 5 resets the peak of this process (proc(5)); False where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return "VmHWM" in Path("/proc/self/status").read_text()
