"""The numbers of each step, kept on the device until a row of the curves needs them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from dbeta_lib.batch import Batch
from dbeta_lib.processes import ALONE, Processes
from dbeta_lib.training.monitor import COLUMNS, LOSSES

RECORDED = (*LOSSES, "etm_accuracy", "grad_norm")


def columns_of(model: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is recorded of each step, and at each validation.

    D-BETA's; of a comparison model its own `loss_names`, the total last.
    """
    own = getattr(model, "loss_names", None)
    if own is None:
        return RECORDED, COLUMNS
    return (*own, "grad_norm"), tuple(f"val_{name}" for name in own)


class Objective(nn.Module):
    """A model's total loss, with a gradient, and its numbers without one: what a step needs.

    A wrapper for several processes then sees no loss of weight 0, which has no part in the step.
    processes: those whose slices make up a batch; the mean over them is the whole batch's.
    """

    def __init__(self, model: nn.Module, processes: Processes = ALONE):
        super().__init__()
        self.model, self.losses = model, getattr(model, "loss_names", LOSSES)
        self.together = {"processes": processes} if processes.world > 1 else {}

    def forward(self, batch: Batch, mem_alone: bool = False) -> tuple[Tensor, Tensor]:
        """The total loss, and `[n]`: the losses, and of a D-BETA the share of right ETM decisions.

        mem_alone: the MEM loss in place of the total; 0 stands for the numbers not computed.
        """
        if mem_alone:
            loss = self.model.mem_alone(batch)
            numbers = loss.new_zeros(len(LOSSES) + 1, dtype=torch.float32)
            numbers[LOSSES.index("mem")] = loss.detach()
            return loss, numbers
        output = self.model(batch, **self.together)
        numbers = [output.losses[name].detach().float() for name in self.losses]
        if "etm" in output.logits:
            hits = output.logits["etm"].argmax(1) == batch.is_aligned
            numbers.append(hits.float().mean())
        return output.losses["total"], torch.stack(numbers)


class Diverged(Exception):
    """A step's numbers are not finite, or its loss exploded: `step` (from 1) and `what`."""

    def __init__(self, step: int, what: str):
        super().__init__(f"step {step}: {what}")
        self.step, self.what = step, what


class Recorder:
    """Rows of the numbers `names`, one per step since the last row of the curves.

    capacity: steps between two rows of the curves. explode: a loss above this many times the first
    step's is an error. reduce: averages a tensor over all processes. mem_first: up to this step
    (from 1) the loss is MEM alone and the others have no number, afterwards it is the total.
    """

    def __init__(
        self,
        capacity: int,
        explode: float,
        device: torch.device,
        reduce: Callable[[Tensor], Tensor],
        mem_first: int = 0,
        names: tuple[str, ...] = RECORDED,
    ):
        self.names = names
        self.rows = torch.zeros(capacity, len(names), device=device)
        self.pending = 0  # rows filled
        self.first: dict[str, float] = {}  # MEM alone and the total, each at its first step
        self.explode, self.reduce, self.mem_first = explode, reduce, mem_first

    def add(self, numbers: Tensor, grad_norm: Tensor) -> None:
        """Note one step (what `Objective` returned) without asking the device for a number."""
        self.rows[self.pending] = torch.cat([numbers, grad_norm.detach().reshape(1)])
        self.pending += 1

    def restore(self, rows: list[list[float]], first: dict[str, float]) -> None:
        """Go on from what a checkpoint kept.

        It may have been written with another distance of rows, so the next row of the curves may
        come as late as a full distance from here.
        """
        self.pending, self.first = len(rows), first
        self.rows = self.rows.new_zeros(len(self.rows) + len(rows), len(self.names))
        if rows:
            self.rows[: len(rows)] = torch.tensor(rows)

    def read(self, step: int) -> list[list[float]]:
        """The rows up to `step`, the last one finished. Raises Diverged for the first bad one."""
        if not self.pending:
            return []
        rows = self.reduce(self.rows[: self.pending]).tolist()
        for number, row in enumerate(rows, step - len(rows) + 1):
            named = self._computed(number, row)
            loss = "mem" if number <= self.mem_first else "total"
            first = self.first.setdefault(loss, named[loss])
            shown = ", ".join(f"{name} {value:.4g}" for name, value in named.items())
            if not np.isfinite(row).all():
                raise Diverged(number, f"the loss is no longer finite ({shown})")
            if named[loss] > self.explode * first:
                raise Diverged(
                    number, f"the loss is over {self.explode:g} times the first step's ({shown})"
                )
        return rows

    def means(self, step: int) -> dict[str, float]:
        """Means up to `step` of what was computed since the last; the rows are then forgotten."""
        rows = self.read(step)
        numbers = [self._computed(n, row) for n, row in enumerate(rows, step - len(rows) + 1)]
        self.pending = 0
        values = {name: [named[name] for named in numbers if name in named] for name in self.names}
        return {name: float(np.mean(found)) for name, found in values.items() if found}

    def _computed(self, step: int, row: list[float]) -> dict[str, float]:
        """The numbers that this step has, by name."""
        named = dict(zip(self.names, row))
        if step <= self.mem_first:
            return {name: named[name] for name in ("mem", "grad_norm")}
        return named
