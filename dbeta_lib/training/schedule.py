"""Adam, and the tri-stage learning rate: up, level, down.

With T steps, stages r0 : r1 : r2, peak lr, and s counted from 0:

    s <  r0 T             lr * (init + (1 - init) * s / (r0 T))
    s <  (r0 + r1) T      lr
    s <  (r0 + r1 + r2) T lr * exp(log(final) * (s - (r0 + r1) T) / (r2 T))
    later                 lr * final

The paper gives 0.1 : 0.4 : 0.5; init = 0.01 and final = 0.05 are those of its forerunner M3AE.
"""

import math
from collections.abc import Iterable

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dbeta_lib.training.settings import PretrainConfig


def tri_stage(
    step: int,
    steps: int,
    stages: tuple[float, float, float] = (0.1, 0.4, 0.5),
    init_scale: float = 0.01,
    final_scale: float = 0.05,
) -> float:
    """The factor, 0..1, on the peak learning rate for `step` (0-based) of `steps`.

    >>> [round(tri_stage(s, 100), 3) for s in (0, 5, 10, 49, 75, 100)]
    [0.01, 0.505, 1.0, 1.0, 0.224, 0.05]
    """
    up, level, down = (share * steps for share in stages)
    if step < up:
        return init_scale + (1 - init_scale) * step / up
    if step < up + level:
        return 1.0
    if step < up + level + down:
        return math.exp(math.log(final_scale) * (step - up - level) / down)
    return final_scale if down else 1.0


def optimizer_and_schedule(
    parameters: list[Parameter],
    settings: PretrainConfig,
    fused: bool = False,
    of_text: Iterable[Parameter] = (),
) -> tuple[Optimizer, LambdaLR]:
    """The optimizer that the settings name, and a scheduler to be stepped once per step.

    of_text: those of the parameters whose learning rate is `text_lr_scale` times the others'.
    """
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    groups = [{"params": parameters}]
    if settings.text_lr_scale != 1:
        ids = {id(p) for p in of_text}
        groups = [
            {"params": [p for p in parameters if id(p) not in ids]},
            {"params": [p for p in parameters if id(p) in ids],
             "lr": settings.lr * settings.text_lr_scale},
        ]  # fmt: skip
        groups = [group for group in groups if group["params"]]  # a frozen one has none
    optimizer = kind(
        groups, lr=settings.lr, betas=settings.betas, eps=settings.eps,
        weight_decay=settings.weight_decay, fused=fused,
    )  # fmt: skip
    numbers = (settings.steps, settings.stages, settings.init_scale, settings.final_scale)
    return optimizer, LambdaLR(optimizer, lambda step: tri_stage(step, *numbers))
