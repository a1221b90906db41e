"""Dropout from sixteen random bits for each number: the same law, drawn faster.

On a CPU torch takes longer over the draws of dropout than over many a layer. A share is met to
1 / 65,536. Seeds give other draws than torch's, so a run is another one with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

LEVELS = 1 << 16


def quick_dropout(x: Tensor, share: float) -> Tensor:
    """`x` with a share (0..1) of its numbers 0 and the others times 1 / (1 - share), on a CPU."""
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    kept = bits >= round(share * LEVELS) - LEVELS // 2
    return x * kept.to(x.dtype).mul_(1 / (1 - share))


@contextmanager
def dropping_quickly(model: nn.Module) -> Iterator[None]:
    """Every `nn.Dropout` of the model, where it works on a CPU."""
    parts = [part for part in model.modules() if type(part) is nn.Dropout]
    for part in parts:
        part.forward = partial(_forward, part)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def _forward(part: nn.Dropout, x: Tensor) -> Tensor:
    if not part.training or part.p == 0:
        return x
    if x.device.type != "cpu":
        return nn.Dropout.forward(part, x)
    return quick_dropout(x, part.p)
