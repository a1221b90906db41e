"""Every contrastive loss against a slow loop written from its formula, in double precision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.comparisons.contrast import info_nce, masked_contrast, nt_xent


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(n=st.integers(1, 6), scale=st.floats(0.5, 20), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_info_nce_is_its_formula(slow, n, scale, seed):
    a, b = drawn(n, 3, seed=seed), drawn(n, 3, seed=seed + 100)
    found = info_nce(a, b, scale)
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(slow.info_nce(a, b, scale), abs=1e-6)


@given(n=st.integers(1, 6), temperature=st.floats(0.05, 2), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_nt_xent_is_its_formula(slow, n, temperature, seed):
    a, b = drawn(n, 3, seed=seed), drawn(n, 3, seed=seed + 100)
    expected = slow.nt_xent(a, b, temperature)
    assert float(nt_xent(a, b, temperature)) == pytest.approx(expected, abs=1e-6)


@given(rows=st.integers(1, 3), tokens=st.integers(2, 7), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_masked_contrast_is_its_formula_and_skips_equal_codes(slow, rows, tokens, seed):
    context, targets = drawn(rows, tokens, 3, seed=seed), drawn(rows, tokens, 3, seed=seed + 100)
    targets[:, 1] = targets[:, 0] + 1e-7  # as a draw straight through the quantiser leaves it
    masked = drawn(rows, tokens, seed=seed + 200) > -0.3
    masked[:, 0] = True
    expected = slow.masked_contrast(context, targets, masked, 0.1)
    assert float(masked_contrast(context, targets, masked, 0.1)) == pytest.approx(
        expected, abs=1e-6
    )


def test_what_is_known_without_computing():
    alike = torch.ones(8, 4, dtype=torch.float64)
    assert float(info_nce(alike, alike, 10.0)) == pytest.approx(math.log(8))
    assert float(nt_xent(alike, alike, 0.1)) == pytest.approx(math.log(15))
    apart = torch.eye(8, dtype=torch.float64)
    assert float(info_nce(apart, 3 * apart, 100.0)) < 1e-6
    assert float(info_nce(apart, apart.roll(1, 0), 100.0)) > 99
    hidden = torch.ones(1, 8, dtype=torch.bool)
    assert float(masked_contrast(apart[None], apart[None], hidden, 0.01)) < 1e-6
    assert float(masked_contrast(alike[None], alike[None], hidden, 0.1)) == 0  # no distractor left


def test_bfloat16_is_computed_in_single_precision():
    a, b = drawn(6, 3).bfloat16(), drawn(6, 3, seed=1).bfloat16()
    for found, exact in (
        (info_nce(a, b, 1 / 0.07), info_nce(a.double(), b.double(), 1 / 0.07)),
        (nt_xent(a, b, 0.07), nt_xent(a.double(), b.double(), 0.07)),
    ):
        assert found.dtype == torch.float32 and float(found) == pytest.approx(float(exact), 1e-4)


def test_only_hidden_tokens_get_a_gradient():
    context, targets = drawn(2, 5, 3).requires_grad_(), drawn(2, 5, 3, seed=1).requires_grad_()
    masked = torch.tensor([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0]]).bool()
    masked_contrast(context, targets, masked, 0.1).backward()
    for grad in (context.grad, targets.grad):
        assert (grad[masked] != 0).any(-1).all() and (grad[~masked] == 0).all()
        assert grad.isfinite().all()
