"""SimCLR: its formula on the views that it draws, and that it reads no text."""

import dataclasses

import pytest
import torch

from dbeta_lib.comparisons.base import own_generator
from dbeta_lib.comparisons.simclr import SimCLR


@pytest.fixture
def simclr(config, tokenizer):
    torch.manual_seed(0)
    return SimCLR.build(config(), tokenizer, temperature=0.2).double()


def test_the_loss_is_nt_xent_of_two_views(slow, simclr, batch):
    one = batch()
    simclr.eval()
    ecg = one.ecg * one.lead_mask[..., None]
    torch.manual_seed(3)
    generator = own_generator(ecg.device)
    views = [simclr.view(ecg, generator) for _ in range(2)]
    assert not torch.equal(*views) and all((v[0, 3] == 0).all() for v in views)
    a, b = (simclr.head(simclr.tower.encoder(view, None)[0][:, 0]) for view in views)
    torch.manual_seed(3)
    output = simclr(one)
    assert float(output.losses["total"]) == pytest.approx(slow.nt_xent(a, b, 0.2), abs=1e-6)


def test_all_weights_learn_and_the_text_has_no_part(simclr, batch):
    one = batch()
    torch.manual_seed(1)
    loss = simclr(one).losses["total"]
    loss.backward()
    assert [n for n, p in simclr.named_parameters() if p.grad is None] == []
    other = dataclasses.replace(one, input_ids=one.input_ids + 1, report_id=one.report_id + 9)
    torch.manual_seed(1)
    assert torch.equal(simclr(other).losses["total"], loss)


def test_features_are_read_before_the_head(simclr, batch):
    simclr.float().eval()
    ecg = batch().ecg.float()
    features = simclr.encode_ecg(ecg)
    assert torch.equal(features, simclr.tower(ecg))
    simclr.head[0].weight.data.zero_()
    assert torch.equal(simclr.encode_ecg(ecg), features)
