"""Dropout drawn from bits: its law, its gradient, its seed, and that nothing of it is left."""

import pytest
import torch
from torch import nn

from dbeta_lib.encoders.layers import TransformerLayer
from dbeta_lib.training.layers import prepared
from dbeta_lib.training.quick_dropout import dropping_quickly, quick_dropout
from dbeta_lib.training.settings import PretrainConfig


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_dropped_independently_and_the_rest_is_scaled(share):
    torch.manual_seed(0)
    x = torch.ones(1001, 333)
    out = quick_dropout(x, share)
    dropped = out == 0
    sigma = (share * (1 - share) / x.numel()) ** 0.5
    assert abs(dropped.float().mean().item() - share) < 5 * sigma + 1 / 65_536
    assert torch.equal(out[~dropped], torch.full_like(out[~dropped], 1 / (1 - share)))
    d = dropped.double() - share
    for beside in (d[:, 1:] * d[:, :-1], d[1:] * d[:-1]):  # neighbours know nothing of each other
        assert abs(beside.mean()) < 5 * share * (1 - share) / beside.numel() ** 0.5


def test_it_follows_the_seed_and_its_gradient_is_its_mask():
    x = torch.randn(7, 5, requires_grad=True)
    found = []
    for _ in range(2):
        torch.manual_seed(4)
        found.append(quick_dropout(x, 0.3))
    assert torch.equal(*found) and not torch.equal(found[0], quick_dropout(x, 0.3))
    found[0].sum().backward()
    assert torch.allclose(x.grad * x, found[0])


def test_all_of_a_layer_drop_quickly_while_it_trains_and_as_before_afterwards():
    layer, x = TransformerLayer(16, 32, 2, 0.1, 0.1), torch.randn(4, 9, 16)

    def outcome():
        torch.manual_seed(2)
        return layer(x)

    before, calm = outcome(), layer.eval()(x)
    layer.train()
    with dropping_quickly(layer):
        quick = outcome()
        assert torch.equal(quick, outcome()) and not torch.equal(quick, before)
        assert torch.equal(layer.eval()(x), calm)
        layer.train()
    assert torch.equal(outcome(), before)
    with prepared(nn.ModuleList([layer]), PretrainConfig(quick_dropout=True)):
        assert torch.equal(outcome(), quick)
