"""The masked auto-encoder of ECGs: no text enters, in forward or backward."""

import dataclasses

import pytest
import torch

from dbeta_lib.comparisons.mem_only import mem_only, mem_only_config
from dbeta_lib.losses import mem_loss, mem_target

TEXT = ("text_encoder", "text_projection", "text_pooler", "fusion", "fused", "mlm_head", "etm_head")


@pytest.mark.parametrize("switches", ["paper", "recommended"])
def test_no_text_enters(config, tokenizer, batch, switches):
    torch.manual_seed(0)
    model = mem_only(config(switches=switches), tokenizer).double().eval()
    one = batch()
    output = model(one)
    output.losses["total"].backward()
    learns = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {n for n in learns if n.startswith(TEXT)} == {"fusion.modality.weight"}
    gradient = model.fusion.modality.weight.grad  # row 0 stands for text, row 1 for the ECG
    assert not gradient[0].any() and gradient[1].any()
    assert {"ecg_encoder", "ecg_projection", "mem_head"} <= {n.split(".")[0] for n in learns}
    other = dataclasses.replace(
        one, input_ids=one.input_ids.flip(0), attention_mask=one.attention_mask.flip(0),
        is_aligned=1 - one.is_aligned, report_id=one.report_id + 7,
    )  # fmt: skip
    assert torch.equal(model(other).losses["total"], output.losses["total"])


def test_the_total_is_the_mem_loss_alone(config, tokenizer, batch):
    model = mem_only(config(), tokenizer).double().eval()
    one = batch()
    output = model(one)
    target = mem_target(one.ecg * one.lead_mask[..., None], 20, 8)
    _, projected, _, mask, restore = model.ecg_stream(*model.seen(one))
    samples = model.mem_head(model.fusion.ecg_start(projected), restore)
    expected = mem_loss(samples, target, mask)
    assert float(output.losses["total"]) == pytest.approx(float(expected), abs=1e-6)
    assert torch.equal(output.losses["total"], model.mem_alone(one))


def test_masking_and_lead_dropout_stay_as_they_were(config):
    before = config(mask_ratio=0.6, lead_dropout=0.2)
    after = mem_only_config(before)
    assert (after.ecg.mask_ratio, after.objective.lead_dropout) == (0.6, 0.2)
    assert mem_only_config(after) == after
