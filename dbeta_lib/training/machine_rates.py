"""What a machine reaches in fact: its rate of matrix products and of moving memory."""

from collections.abc import Callable

import torch

from dbeta_lib.training.part_meter import between, clock_of

REPEATS = 5
_SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices: far beyond caches, a second or less
_NUMBERS = {"cpu": 1 << 26, "cuda": 1 << 30}  # float32 that are copied: 256 MB, 4 GB


def matrix_rate(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, side: int | None = None
) -> float:
    """Operations per second of one large square matrix product (2 side^3), the best of five."""
    device = torch.device(device)
    side = side or _SIDE[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _best(lambda: torch.mm(left, right), device)


def copy_rate(device: str | torch.device = "cpu", numbers: int | None = None) -> float:
    """Bytes per second, read and written, of copying a large tensor; the best of five."""
    device = torch.device(device)
    source = torch.ones(numbers or _NUMBERS[device.type], device=device)
    copy = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: copy.copy_(source), device)


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Seconds: whatever else a machine does makes a repeat slower, never faster."""
    clock, taken = clock_of(device), []
    for _ in range(REPEATS + 1):  # the first warms up
        before = clock()
        work()
        taken.append(between(before, clock()))
    return min(taken[1:])
