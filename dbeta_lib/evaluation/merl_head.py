"""The training of MERL's linear layer: Adam on batches of 16, written out for speed.

With 17,000 records, 100 epochs are 107,000 steps of 16 records. What such a step costs is the calls
and not the numbers, so there is no autograd, and the layers of several seeds take each step
together. Numbers are float32 throughout, where MERL's code trains with half precision.

Source: finetune/main_single.py of github.com/cheliu-computation/MERL-ICML2024 (Liu et al., ICML
2024), with the options of its scripts; Adam as in PyTorch (Kingma & Ba, ICLR 2015).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import expit

from dbeta_lib.seeds import rng

BATCH, EPOCHS, RATE, DECAY = 16, 100, 1e-3, 1e-4
MILESTONE, FALL = 40, 0.1  # the rate is RATE * FALL after so many steps of the scheduler
_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8  # of Adam, as PyTorch has them


def train_heads(
    x: np.ndarray,
    y: np.ndarray,
    seeds: Sequence[int],
    *,
    collapse: bool = True,
    batch_size: int = BATCH,
    epochs: int = EPOCHS,
) -> Iterator[np.ndarray]:
    """Train one linear layer per seed on float32 `[n, D]`, 0/1 `[n, K]`; yield after every epoch.

    Yielded are the weights, float32 `[S, D + 1, K]`, the last row the intercepts. The loss is the
    mean over the records of a batch and the classes; weight decay is Adam's own, added to the
    gradient, of the intercepts too. Weights begin as in `torch.nn.Linear`, uniform within
    1 / sqrt(D). With `collapse` the scheduler counts every batch and every epoch, else the epochs.
    """
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1, dtype=np.float32)
    y = np.asarray(y, dtype=np.float32)
    bound, shape = (x.shape[1] - 1) ** -0.5, (x.shape[1], y.shape[1])
    w = np.stack([rng(seed, "merl-head").uniform(-bound, bound, shape) for seed in seeds])
    w = w.astype(np.float32)
    adam = _Adam(w)
    for epoch in range(epochs):
        order = np.stack([rng(seed, "merl-order", epoch).permutation(len(x)) for seed in seeds])
        for start in range(0, len(x), batch_size):
            batch = order[:, start : start + batch_size]
            inputs = x[batch]  # [S, B, D + 1]
            error = expit(inputs @ w)
            error -= y[batch]
            error /= batch.shape[1] * y.shape[1]
            ticks = adam.steps + epoch if collapse else epoch  # of the scheduler
            adam.step(inputs.transpose(0, 2, 1) @ error, RATE if ticks < MILESTONE else RATE * FALL)
        yield w.copy()


class _Adam:
    """PyTorch's Adam with weight decay, on one array that it changes in place.

    Written out because a step of 16 records through autograd takes ten times as long.
    """

    def __init__(self, w: np.ndarray):
        self.w, self.steps = w, 0
        self.mean, self.square = np.zeros_like(w), np.zeros_like(w)

    def step(self, gradient: np.ndarray, rate: float) -> None:
        self.steps += 1
        gradient += DECAY * self.w
        self.mean *= _BETA1
        self.mean += (1 - _BETA1) * gradient
        gradient *= gradient
        gradient *= 1 - _BETA2
        self.square *= _BETA2
        self.square += gradient
        np.sqrt(self.square, out=gradient)
        gradient *= (1 - _BETA2**self.steps) ** -0.5
        gradient += _EPS
        np.divide(self.mean, gradient, out=gradient)
        gradient *= rate / (1 - _BETA1**self.steps)
        self.w -= gradient
