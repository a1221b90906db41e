"""CLIP of our encoders: its formula, its learnt temperature, what the config's batches keep."""

import math

import pytest
import torch

from dbeta_lib.comparisons.clip_style import CLIPStyle


@pytest.fixture
def clip(config, tokenizer):
    torch.manual_seed(0)
    return CLIPStyle.build(config(lead_dropout=0.25), tokenizer).double()


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_the_loss_is_the_symmetric_contrast_of_the_projected_features(
    slow, config, tokenizer, batch, pooling
):
    clip = CLIPStyle.build(config(ecg_pooling=pooling, text_pooling=pooling), tokenizer).double()
    one = batch()
    clip.eval()
    hidden = clip.ecg_tower.encoder(one.ecg * one.lead_mask[..., None], None)[0]
    words = clip.text_encoder(one.input_ids, one.attention_mask)
    if pooling == "first":
        ecg, text = hidden[:, 0], words[:, 0]
    else:
        ecg = hidden.mean(1)
        text = torch.stack([w[: int(m.sum())].mean(0) for w, m in zip(words, one.attention_mask)])
    ecg, text = ecg @ clip.ecg_head.weight.T, text @ clip.text_head.weight.T
    expected = slow.info_nce(ecg, text, 1 / 0.07)
    output = clip(one)
    assert output.losses["total"].item() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(output.losses["total"], output.losses["contrast"])
    logits = output.logits["ecg_text"]
    both = torch.log_softmax(logits, 1).diagonal() + torch.log_softmax(logits, 0).diagonal()
    assert (-both.mean() / 2).item() == pytest.approx(expected, abs=1e-6)


def test_everything_learns_the_temperature_too_up_to_its_limit(clip, batch):
    clip(batch()).losses["total"].backward()
    assert [n for n, p in clip.named_parameters() if p.grad is None] == []
    assert clip.log_scale.grad != 0 and clip.scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    clip.log_scale.data.fill_(math.log(200))
    assert clip.scale.item() == 100


def test_batches_keep_lead_dropout_but_hide_no_word_and_swap_no_text(clip):
    objective = clip.config.objective
    assert (objective.lead_dropout, objective.mlm_masking) == (0.25, "none")
    assert objective.negative_fraction == 0 and objective.negatives == "random"
