"""Occlusion against a loop written from its definition, on an encoder worked by hand."""

import numpy as np
import pytest
import torch

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.occlusion import occlude, without
from dbeta_lib.evaluation.zero_shot import similarities
from dbeta_lib.leads import LEADS


@pytest.fixture
def ecg():
    """mV [12, 1050]: noise, so that no two pieces are alike."""
    return np.random.default_rng(3).normal(0, 0.3, (12, 1050)).astype(np.float32)


def score(model, ecg, mask, texts):
    """Mean similarity of one ECG with the texts, asked on its own."""
    model.eval()
    with torch.no_grad():
        features = model.encode_ecg(torch.from_numpy(ecg)[None], torch.from_numpy(mask)[None])
    return similarities(model, (features * 1).numpy(), texts).mean()


class Masking(torch.nn.Module):
    """The toy encoder, with masked leads zeroed as D-BETA does."""

    def __init__(self, toy):
        super().__init__()
        self.toy, self.sampling_rate, self.leads = toy, toy.sampling_rate, toy.leads
        self.encode_text, self.similarity = toy.encode_text, toy.similarity

    def encode_ecg(self, ecg, lead_mask=None):
        return self.toy.encode_ecg(ecg * lead_mask[..., None])


def test_every_fall_is_the_score_without_a_piece_asked_one_by_one(toy, ecg):
    model, texts = Masking(toy), ["one", "another text"]
    mask = np.ones(12, bool)
    mask[7] = False
    found = occlude(model, ecg, 100, texts, lead_mask=mask, window=2.0)
    ecg = ecg * mask[:, None]
    whole = score(model, ecg, mask, texts)
    assert found.score == pytest.approx(whole)
    assert found.edges.tolist() == [0, 2, 4, 6, 8, 10, 10.5]
    bounds = [(a, min(a + 200, 1050)) for a in range(0, 1050, 200)]
    for w, (a, b) in enumerate(bounds):
        hidden = ecg.copy()
        for lead in range(12):
            one = ecg.copy()
            left = ecg[lead, a - 1] if a else ecg[lead, b]
            right = ecg[lead, b] if b < 1050 else left
            for i in range(a, b):
                one[lead, i] = left + (right - left) * (i - a + 1) / (b - a + 1)
            hidden[lead] = one[lead]
            if mask[lead]:
                fall = whole - score(model, one, mask, texts)
                assert found.pieces[lead, w] == pytest.approx(fall, abs=1e-5)
        assert found.seconds[w] == pytest.approx(
            whole - score(model, hidden, mask, texts), abs=1e-5
        )
    for lead in np.flatnonzero(mask):
        less = mask & (np.arange(12) != lead)
        fall = whole - score(model, ecg, less, texts)
        assert found.leads[lead] == pytest.approx(fall, abs=1e-5)
    assert np.isnan(found.pieces[7]).all() and np.isnan(found.leads[7])


def test_a_hidden_piece_leaves_no_step_and_the_rest_as_it_was(ecg):
    hidden = without(ecg, slice(100, 200), [2])
    assert np.array_equal(np.delete(hidden, 2, 0), np.delete(ecg, 2, 0))
    assert np.array_equal(hidden[2, :100], ecg[2, :100])
    assert np.array_equal(hidden[2, 200:], ecg[2, 200:])
    steps = np.diff(hidden[2, 99:201])
    assert np.allclose(steps, (ecg[2, 200] - ecg[2, 99]) / 101, atol=1e-6)
    first, last = without(ecg, slice(0, 50), [0]), without(ecg, slice(1000, 1050), [0])
    assert (first[0, :50] == ecg[0, 50]).all() and (last[0, 1000:] == ecg[0, 999]).all()


def test_the_lead_that_the_score_hangs_on_is_found(ecg):
    class OneLead(torch.nn.Module):
        sampling_rate, leads = 100, LEADS

        def encode_ecg(self, ecg, lead_mask=None):
            return ecg[:, 4].abs().mean(-1, keepdim=True)

        def encode_text(self, texts):
            return torch.ones(len(texts), 1)

        def similarity(self, a, b):
            return a @ b.T

    found = occlude(OneLead(), ecg, 100, ["x"])
    assert (found.pieces[4] != 0).all() and (np.delete(found.pieces, 4, 0) == 0).all()
    assert found.leads.argmax() == 4 and np.allclose(found.seconds, found.pieces[4])


@pytest.mark.parametrize("window", [0.0, 0.001, 11, 10.5])
def test_a_window_that_is_no_part_of_the_ecg_is_refused(toy, ecg, window):
    with pytest.raises(UsageError, match="no piece of this ECG"):
        occlude(toy, ecg, 100, ["x"], window=window)


def test_a_class_without_text_and_a_model_without_text_are_refused(toy, ecg):
    with pytest.raises(UsageError, match="without a text"):
        occlude(toy, ecg, 100, [])
