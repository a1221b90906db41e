"""W2V + CMSC + RLM: each loss from its formula, spans, halves, and where gradients go."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.augmentations import drop_leads
from dbeta_lib.comparisons.base import own_generator
from dbeta_lib.comparisons.contrastive_segments import (
    ContrastiveSegments,
    segments,
    span_mask,
    stem_features,
)

SIZES = {"groups": 2, "entries": 5, "code_width": 8, "span": 0.3}


@pytest.fixture
def model(config, tokenizer):
    torch.manual_seed(0)
    return ContrastiveSegments.build(config(), tokenizer, **SIZES).double()


def test_the_losses_are_their_formulas(slow, model, batch):
    one = batch()
    model.eval()
    torch.manual_seed(3)
    generator = own_generator(one.ecg.device)
    halves = drop_leads(segments(one.ecg * one.lead_mask[..., None]), generator, 0.5)
    raw = stem_features(model.encoder.stem, halves)
    features = model.encoder.stem.norm(raw)
    masked = model.masked(features.shape[:2], generator)
    assert 0 < masked.sum() < masked.numel() and masked.shape == (10, 10)

    tokens = model.encoder.stem(halves)  # projected
    tokens[masked] = model.hidden_token
    hidden = model.encoder.transform(tokens + model.encoder.positions(tokens))
    logits = model.quantiser.logits(features).unflatten(-1, (2, 5))
    choice = logits.argmax(-1)
    words = [[torch.cat([model.quantiser.words[g, c[g]] for g in (0, 1)]) for c in row]
             for row in choice]  # fmt: skip
    codes = model.code_head(torch.stack([torch.stack(row) for row in words]))
    perplexity = 0.0
    for g in (0, 1):
        used = choice[..., g][masked].tolist()
        shares = [used.count(c) / len(used) for c in set(used)]
        perplexity += math.exp(-sum(p * math.log(p) for p in shares))
    mean = hidden.mean(1)
    expected = {
        "w2v": slow.masked_contrast(model.context_head(hidden), codes, masked, 0.1),
        "cmsc": slow.info_nce(mean[:5], mean[5:], 10.0),
        "diversity": (10 - perplexity) / 10,
        "penalty": float((raw**2).mean()),
    }
    torch.manual_seed(3)
    found = {name: float(loss) for name, loss in model(one).losses.items()}
    total = found.pop("total")
    assert found == pytest.approx(expected, abs=1e-6)
    weighted = found["w2v"] + found["cmsc"] + 0.1 * found["diversity"] + 10 * found["penalty"]
    assert total == pytest.approx(weighted, abs=1e-9)


def test_halves_follow_each_other_and_the_stem_is_the_encoders(model):
    ecg = torch.arange(2 * 12 * 161.0).reshape(2, 12, 161)
    halves = segments(ecg)
    assert halves.shape == (4, 12, 80)
    assert torch.equal(halves[0], ecg[0, :, :80]) and torch.equal(halves[2], ecg[0, :, 80:160])
    stem, ecg = model.encoder.stem, torch.randn(2, 12, 80, dtype=torch.float64)
    torch.testing.assert_close(stem.project(stem.norm(stem_features(stem, ecg))), stem(ecg))


@given(tokens=st.integers(1, 60), span=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_spans_are_whole_and_as_many_as_asked(tokens, span, seed):
    span = min(span, tokens)
    mask = span_mask(4, tokens, span, 0.65, torch.Generator().manual_seed(seed))
    again = span_mask(4, tokens, span, 0.65, torch.Generator().manual_seed(seed))
    assert torch.equal(mask, again) and mask.any(1).all()
    starts = max(1, round(0.65 * tokens / span))
    for row in mask.tolist():
        runs = "".join("x" if hidden else " " for hidden in row).split()
        assert all(len(run) >= span for run in runs) and len(runs) <= starts
        assert sum(row) <= starts * span
    if span == 1:
        assert mask.sum(1).tolist() == [min(tokens, starts)] * 4


def test_a_published_segment_hides_ten_tokens_at_once(config, tokenizer):
    full = config(samples=5000, sampling_rate=500, conv_layers=((16, 2, 2),) * 4)
    mask = ContrastiveSegments.build(full, tokenizer, **{**SIZES, "span": 0.32}).masked(
        (200, 156), torch.Generator().manual_seed(0)
    )
    runs = "".join("x" if h else " " for row in mask.tolist() for h in [*row, False]).split()
    assert min(map(len, runs)) == 10
    assert 0.44 < mask.float().mean() < 0.54  # 0.49 in the published code


def test_all_weights_learn_but_the_class_token(model, batch):
    model.train()
    model(batch()).losses["total"].backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == ["encoder.class_token"]


def test_the_stem_learns_at_a_tenth_and_hidden_tokens_are_hidden(model, batch, config, tokenizer):
    def stem_gradient(factor):
        torch.manual_seed(0)
        other = ContrastiveSegments.build(config(), tokenizer, **SIZES, stem_gradient=factor)
        other.double().eval()
        torch.manual_seed(1)
        other(batch()).losses["total"].backward()
        return other.encoder.stem.convs[0].weight.grad, other.context_head.weight.grad

    (slow, head), (full, same_head) = stem_gradient(0.1), stem_gradient(1.0)
    torch.testing.assert_close(slow, 0.1 * full)
    torch.testing.assert_close(head, same_head)
    model.eval()
    features = torch.randn(2, 10, 16, dtype=torch.float64)
    masked = torch.zeros(2, 10, dtype=torch.bool)
    masked[:, 2:5] = True
    other = torch.where(masked[..., None], torch.randn_like(features), features)
    ecg = torch.randn(2, 12, 80, dtype=torch.float64)
    assert torch.equal(model.context(ecg, features, masked), model.context(ecg, other, masked))
    assert not torch.equal(
        model.context(ecg, features, ~masked), model.context(ecg, other, ~masked)
    )


def test_the_draws_get_colder_in_training_only(model, batch):
    model.eval()(batch())
    assert float(model.gumbel) == 2
    model.train()(batch())
    assert float(model.gumbel) == pytest.approx(2 * 0.999995, rel=1e-7)
    model.gumbel.fill_(0.5)
    model(batch())
    assert float(model.gumbel) == 0.5
