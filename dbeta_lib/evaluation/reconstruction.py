"""Masked ECGs drawn again: the error where tokens were hidden, beside the flat line's."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dbeta_lib.model import DBeta


def hidden_error(
    model: DBeta, ecg: np.ndarray | Tensor, noise: Tensor, texts: Sequence[str] | None = None
) -> dict[str, float]:
    """Mean squared error over the hidden samples of all leads, in the target's scaled units.

    ecg `[B, 12, T]` mV; noise `[B, tokens]` decides what is hidden (the same noise, the same
    pieces, whatever the model); texts as `DBeta.reconstruct` takes them. Returns "model", and
    "flat line": what drawing the mean of the record everywhere costs.
    """
    drawn = model.reconstruct(
        torch.as_tensor(ecg), noise=noise, texts=None if texts is None else list(texts)
    )
    prediction, target = drawn["prediction"], drawn["target"]
    samples = target.shape[-1] // drawn["mask"].shape[1]
    hidden = drawn["mask"].bool().repeat_interleave(samples, dim=1)[:, None].expand_as(target)
    return {
        "model": (prediction - target)[hidden].square().mean().item(),
        "flat line": target[hidden].square().mean().item(),
    }
