"""The numbers of each step, kept on the device until a row of the curves needs them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from dbeta_lib.batch import Batch
from dbeta_lib.model import DBeta
from dbeta_lib.training.monitor import LOSSES

RECORDED = (*LOSSES, "etm_accuracy", "grad_norm")


class Objective(nn.Module):
    """A model's total loss, with a gradient, and its numbers without one: what a step needs.

    A wrapper for several processes then sees no loss of weight 0, which has no part in the step.
    """

    def __init__(self, model: DBeta):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, alone: str = "total") -> tuple[Tensor, Tensor]:
        """The total loss, and `[6]`: the five losses and the share of right ETM decisions.

        alone: a loss whose gradient is taken in place of the total's; the numbers are of all.
        """
        output = self.model(batch)
        hits = (output.logits["etm"].argmax(1) == batch.is_aligned).float().mean()
        numbers = [output.losses[name].detach().float() for name in LOSSES]
        return output.losses[alone], torch.stack([*numbers, hits])


class Diverged(Exception):
    """A step's numbers are not finite, or its loss exploded: `step` (from 1) and `what`."""

    def __init__(self, step: int, what: str):
        super().__init__(f"step {step}: {what}")
        self.step, self.what = step, what


class Recorder:
    """Rows of `RECORDED`, one per step since the last row of the curves.

    capacity: steps between two rows of the curves. explode: a total loss above this many times the
    first step's is an error. reduce: averages a tensor over all processes.
    """

    def __init__(
        self,
        capacity: int,
        explode: float,
        device: torch.device,
        reduce: Callable[[Tensor], Tensor],
    ):
        self.rows = torch.zeros(capacity, len(RECORDED), device=device)
        self.pending, self.first = 0, None  # rows filled; the first step's total loss
        self.explode, self.reduce = explode, reduce

    def add(self, numbers: Tensor, grad_norm: Tensor) -> None:
        """Note one step (what `Objective` returned) without asking the device for a number."""
        self.rows[self.pending] = torch.cat([numbers, grad_norm.detach().reshape(1)])
        self.pending += 1

    def restore(self, rows: list[list[float]], first: float | None) -> None:
        """Go on from what a checkpoint kept.

        It may have been written with another distance of rows, so the next row of the curves may
        come as late as a full distance from here.
        """
        self.pending, self.first = len(rows), first
        self.rows = self.rows.new_zeros(len(self.rows) + len(rows), len(RECORDED))
        if rows:
            self.rows[: len(rows)] = torch.tensor(rows)

    def read(self, step: int) -> list[list[float]]:
        """The rows up to `step`, the last one finished. Raises Diverged for the first bad one."""
        if not self.pending:
            return []
        rows = self.reduce(self.rows[: self.pending]).tolist()
        for number, row in enumerate(rows, step - len(rows) + 1):
            named = dict(zip(RECORDED, row))
            self.first = named["total"] if self.first is None else self.first
            shown = ", ".join(f"{name} {value:.4g}" for name, value in named.items())
            if not np.isfinite(row).all():
                raise Diverged(number, f"the loss is no longer finite ({shown})")
            if named["total"] > self.explode * self.first:
                raise Diverged(
                    number, f"the loss is over {self.explode:g} times the first step's ({shown})"
                )
        return rows

    def means(self, step: int) -> dict[str, float]:
        """Means of the rows up to `step`, which are then forgotten."""
        means = np.mean(self.read(step), axis=0).tolist()
        self.pending = 0
        return dict(zip(RECORDED, means))
