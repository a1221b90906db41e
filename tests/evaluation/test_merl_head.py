"""MERL's linear layer without autograd, against the same steps taken by PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn

from dbeta_lib.evaluation.merl_head import train_heads
from dbeta_lib.seeds import rng


def rows_of(n=50, d=7, k=3, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(1, 2, (n, d)).astype(np.float32)
    return x, (x[:, :k] + draw.normal(size=(n, k)) > 1).astype(np.int8)


def by_torch(x, y, seed, epochs, collapse, batch_size=16):
    """The recipe's loop as MERL's main_single.py has it; weights after every epoch."""
    layer = nn.Linear(x.shape[1], y.shape[1])
    bound = x.shape[1] ** -0.5
    start = rng(seed, "merl-head").uniform(-bound, bound, (x.shape[1] + 1, y.shape[1]))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(start[:-1].T))
        layer.bias.copy_(torch.tensor(start[-1]))
    adam = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=[40], gamma=0.1)
    loss_of, after = nn.BCEWithLogitsLoss(), []
    for epoch in range(epochs):
        order = rng(seed, "merl-order", epoch).permutation(len(x))
        for begin in range(0, len(x), batch_size):
            rows = order[begin : begin + batch_size]
            adam.zero_grad()
            loss_of(layer(torch.tensor(x[rows])), torch.tensor(y[rows]).float()).backward()
            adam.step()
            if collapse:
                scheduler.step()
        scheduler.step()
        after.append(np.vstack([layer.weight.detach().numpy().T, layer.bias.detach().numpy()]))
    return np.stack(after)


# 50 rows are three batches and a short one: the rate falls in the ninth epoch, or in the 41st.
@pytest.mark.parametrize(("collapse", "epochs"), [(True, 12), (False, 43)])
def test_weights_after_every_epoch_are_pytorch_s(collapse, epochs):
    x, y = rows_of()
    ours = np.stack(list(train_heads(x, y, [3, 42], collapse=collapse, epochs=epochs)))
    assert ours.shape == (epochs, 2, 8, 3) and ours.dtype == np.float32
    for s, seed in enumerate((3, 42)):
        theirs = by_torch(x, y, seed, epochs, collapse)
        assert np.allclose(ours[:, s], theirs, atol=2e-6)
        moved = np.abs(np.diff(theirs, axis=0)).max(axis=(1, 2))
        assert moved[-1] < 0.3 * moved[0], "the rate has fallen within these epochs"


def test_the_rate_falls_after_forty_batches_where_there_are_many():
    x, y = rows_of(n=16 * 60)
    meant, fallen = (
        next(train_heads(x, y, [0], collapse=collapse, epochs=1)) for collapse in (False, True)
    )
    assert np.allclose(fallen, by_torch(x, y, 0, 1, True), atol=2e-6)
    assert np.abs(meant - fallen).max() > 5e-3  # 20 batches at a rate of 1e-3 instead of 1e-4


def test_seeds_are_runs_of_their_own_and_the_same_again():
    x, y = rows_of()
    together = list(train_heads(x, y, [0, 1], epochs=3))
    again = list(train_heads(x, y, [0, 1], epochs=3))
    alone = list(train_heads(x, y, [1], epochs=3))
    assert np.array_equal(together, again)
    assert np.allclose(np.stack(together)[:, 1:], alone, atol=1e-6)
    assert np.abs(together[-1][0] - together[-1][1]).max() > 0.1


def test_features_and_labels_are_left_as_they_are():
    x, y = rows_of()
    before = x.copy(), y.copy()
    list(train_heads(x, y, [0], epochs=2))
    assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])
