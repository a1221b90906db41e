"""What the contrast of a batch costs by itself: ETS beside InfoNCE, on random features.

The paper holds against a softmax over the batch that it needs much memory. Both losses are those of
the model, from the same B x B logits, forward and backward; nothing else of a step is in it.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from dbeta_lib.errors import UsageError
from dbeta_lib.losses import ets_loss, infonce_loss
from dbeta_lib.seeds import int_seed

CONTRASTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ETS": ets_loss,
    "InfoNCE": infonce_loss,
}


def contrast_cost(
    batches: Sequence[int], width: int = 768, repeats: int = 5, device: str = "cpu"
) -> pd.DataFrame:
    """Seconds and memory of each contrast at each batch size.

    batches: records B. width: numbers of a feature. repeats: the losses take turns, so that a busy
    machine slows both; the median counts, on a CPU of the seconds that it worked for this process.
    Returns columns `batch`, `loss`, `seconds` (forward and backward), `peak_mb` (most that was held
    at once beyond features and signs), `value` (of the loss). Raises UsageError for a batch of one.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    rows = []
    for batch in batches:
        if batch < 2:
            raise UsageError(f"a batch of {batch} has nothing to contrast; give 2 or more")
        step = _Step(batch, width, device)
        taken: dict[str, list[float]] = {name: [] for name in CONTRASTS}
        values = {name: step(name) for name in CONTRASTS}  # once, to warm up
        for _ in range(repeats):
            for name in CONTRASTS:
                start = clock()
                step(name)
                taken[name].append(clock() - start)
        for name in CONTRASTS:
            rows.append({"batch": batch, "loss": name, "seconds": statistics.median(taken[name]),
                         "peak_mb": peak_bytes(partial(step, name), device) / 2**20,
                         "value": values[name]})  # fmt: skip
    return pd.DataFrame(rows)


class _Step:
    """`step(name)`: one contrast of the same random features, forward and backward."""

    def __init__(self, batch: int, width: int, device: str):
        drawn = torch.Generator().manual_seed(int_seed(0, "contrast", batch))
        made = torch.randn(2, batch, width, generator=drawn)
        made = torch.nn.functional.normalize(made, dim=-1).to(device)
        self.ecg, self.text = (x.clone().requires_grad_() for x in made)
        self.signs = 2 * torch.eye(batch, device=device) - 1

    def __call__(self, name: str) -> float:
        logits = 10 * self.ecg @ self.text.T
        loss = CONTRASTS[name](logits, self.signs)
        loss.backward()
        self.ecg.grad = self.text.grad = None
        return loss.item()


def peak_bytes(work: Callable[[], object], device: str = "cpu") -> int:
    """The most that tensors made by `work` held at once, in bytes, counted by torch's allocator."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with _quiet(), torch.profiler.profile(activities=cpu, profile_memory=True) as profiled:
        work()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's profiler writes lines of its own past Python's stderr, which no setting turns off."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
