"""Several processes that train one model, each on its slice of a batch (paper section 3.4: ETS).

The gradient of a step is the mean over the processes, so each process computes a loss whose mean is
the loss of the whole batch. A loss that averages over records or words is divided by what the whole
batch holds for each process, not by what the slice happens to hold; a loss that pairs the records
of a batch takes the other processes' rows from `gather`. The official code never gathers: its ETS
sees one process's pairs only.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """`world` processes of equal slices; this one is `rank` (from 0)."""

    rank: int = 0
    world: int = 1

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes in order of rank, `[b, ...]` -> `[world * b, ...]`.

        A gradient goes back to the process that a row came from, summed over all processes that
        read it. All of them have to call this together.
        """
        return rows if self.world == 1 else _Gather.apply(rows, self)


ALONE = Processes()


class _Gather(torch.autograd.Function):
    """all_gather, whose gradient is the sum of what all processes' losses say of a row."""

    @staticmethod
    def forward(ctx, rows: Tensor, processes: Processes) -> Tensor:
        ctx.processes, ctx.size = processes, len(rows)
        parts = [torch.empty_like(rows) for _ in range(processes.world)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        whole = gradient.contiguous().clone()  # autograd's own tensor stays as it is
        dist.all_reduce(whole)
        first = ctx.processes.rank * ctx.size
        return whole[first : first + ctx.size], None
