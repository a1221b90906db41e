"""Each loss against a slow loop written from its formula."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.losses import (
    etm_loss,
    ets_loss,
    ets_signs,
    infonce_loss,
    mem_loss,
    mem_target,
    mlm_loss,
)

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**31)


def drawn(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).double()


@settings(max_examples=30, deadline=None)
@given(seeds, sizes, st.integers(2, 9))
def test_mlm_is_the_mean_negative_log_probability_of_the_labels(seed, n, vocabulary):
    logits = drawn(seed, n, vocabulary)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, vocabulary, n))
    slow = 0.0
    for i in range(n):
        total = sum(math.exp(logits[i, v]) for v in range(vocabulary))
        slow -= math.log(math.exp(logits[i, labels[i]]) / total) / n
    assert float(mlm_loss(logits, labels)) == pytest.approx(slow, abs=1e-6)


def test_mlm_without_a_masked_word_is_zero_and_differentiable():
    logits = torch.zeros(0, 7, requires_grad=True)
    loss = mlm_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert float(loss.detach()) == 0


@settings(max_examples=20, deadline=None)
@given(seeds, st.sampled_from(["lead", "patch", "none"]))
def test_mem_target_and_loss_agree_with_loops(seed, scaling):
    records, channels, tokens, patch = 2, 3, 4, 5
    ecg = drawn(seed, records, channels, tokens * patch + 2).float()
    ecg[0, 1] = 0  # a dropped lead
    target = mem_target(ecg, tokens, patch, scaling)
    assert target.shape == (records, tokens, channels, patch)
    prediction = drawn(seed + 1, records, tokens, channels, patch).float()
    mask = torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (records, tokens))).float()
    mask[0, 0] = 1
    total = 0.0
    for b in range(records):
        for c in range(channels):
            row = ecg[b, c, : tokens * patch].double().numpy()
            for t in range(tokens):
                piece = row[t * patch : (t + 1) * patch]
                base = {"lead": row, "patch": piece, "none": None}[scaling]
                if base is not None:
                    piece = (piece - base.mean()) / math.sqrt(base.var(ddof=1) + 1e-6)
                assert np.allclose(target[b, t, c].numpy(), piece, atol=1e-5)
                if mask[b, t]:
                    for s in range(patch):
                        gap = float(prediction[b, t, c, s]) - piece[s]
                        total += gap**2 / (channels * patch)
    slow = total / float(mask.sum())
    assert float(mem_loss(prediction, target, mask)) == pytest.approx(slow, rel=1e-5)
    removed = mask.bool()  # those alone, as the model gives them
    assert float(mem_loss(prediction[removed], target[removed])) == pytest.approx(slow, rel=1e-5)


def test_the_mem_loss_of_nothing_removed_is_zero_and_has_a_gradient():
    nothing = torch.zeros(2, 0, 3, 4, requires_grad=True)
    loss = mem_loss(nothing, torch.zeros(2, 0, 3, 4))
    loss.backward()
    assert float(loss) == 0 and nothing.grad.shape == nothing.shape
    whole = torch.randn(2, 5, 3, 4)
    assert float(mem_loss(whole, whole + 1, torch.zeros(2, 5))) == 0


@settings(max_examples=30, deadline=None)
@given(seeds, sizes)
def test_etm_is_cross_entropy_with_class_one_for_aligned(seed, n):
    logits = drawn(seed, n, 2)
    aligned = torch.from_numpy(np.random.default_rng(seed).integers(0, 2, n)).float()
    slow = 0.0
    for i in range(n):
        a, b = (float(v) for v in logits[i])
        chosen = b if aligned[i] else a
        slow -= (chosen - math.log(math.exp(a) + math.exp(b))) / n
    assert float(etm_loss(logits, aligned)) == pytest.approx(slow, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seeds, sizes, st.sampled_from(["sum", "mean"]), st.sampled_from(["aligned", "same_report"]))
def test_ets_is_the_sigmoid_sum_over_all_pairs(seed, n, reduction, positives):
    generator = np.random.default_rng(seed)
    logits = drawn(seed, n, n)
    own = torch.from_numpy(generator.integers(0, 3, n))
    given_ids = torch.from_numpy(generator.integers(0, 3, n))
    aligned = (own == given_ids).float()
    signs = ets_signs(aligned, own, given_ids, positives)
    slow = 0.0
    for i in range(n):
        for j in range(n):
            if positives == "aligned":
                together = i == j and bool(aligned[i])
            else:
                together = int(own[i]) == int(given_ids[j])
            y = 1 if together else -1
            slow += math.log(1 + math.exp(-y * float(logits[i, j])))
    slow /= n if reduction == "sum" else n * n
    assert float(ets_loss(logits, signs, reduction)) == pytest.approx(slow, abs=1e-6)
    assert torch.equal(torch.diagonal(signs) > 0, aligned.bool())


@settings(max_examples=40, deadline=None)
@given(seeds, sizes, st.sampled_from(["aligned", "same_report"]))
def test_infonce_is_the_softmax_over_rows_and_columns_of_those_with_a_partner(seed, n, positives):
    generator = np.random.default_rng(seed)
    logits = drawn(seed, n, n)
    own = torch.from_numpy(generator.integers(0, 3, n))
    given_ids = torch.from_numpy(generator.integers(0, 3, n))
    signs = ets_signs((own == given_ids).float(), own, given_ids, positives)
    slow = 0.0
    for s, y in ((logits, signs), (logits.T, signs.T)):
        side = []
        for i in range(n):
            partners = [j for j in range(n) if y[i, j] > 0]
            below = sum(math.exp(s[i, k]) for k in range(n))
            terms = [-math.log(math.exp(s[i, j]) / below) for j in partners]
            if terms:
                side.append(sum(terms) / len(terms))
        slow += sum(side) / len(side) / 2 if side else 0.0
    assert float(infonce_loss(logits, signs)) == pytest.approx(slow, abs=1e-5)


def test_infonce_of_aligned_pairs_is_clips_loss_and_ln_b_at_chance():
    logits, signs = drawn(1, 6, 6), 2 * torch.eye(6) - 1
    own = torch.arange(6)
    clip = (
        torch.nn.functional.cross_entropy(logits, own)
        + torch.nn.functional.cross_entropy(logits.T, own)
    ) / 2
    assert float(infonce_loss(logits, signs)) == pytest.approx(float(clip), abs=1e-6)
    assert float(infonce_loss(torch.zeros(6, 6), signs)) == pytest.approx(math.log(6), abs=1e-6)
    nobody = torch.zeros(3, 3, requires_grad=True)
    loss = infonce_loss(nobody, -torch.ones(3, 3))
    loss.backward()
    assert float(loss.detach()) == 0 and not nobody.grad.any()
