"""The cost of a contrast: memory as the allocator counts it, both losses on the same features."""

import math
import os

import pytest
import torch

from dbeta_lib.errors import UsageError
from dbeta_lib.training.contrast_cost import CONTRASTS, _Step, contrast_cost, peak_bytes

SQUARE = 4 * 500 * 500  # bytes of one float32 matrix


@pytest.mark.parametrize(
    ("work", "matrices"),
    [
        (lambda: torch.zeros(500, 500), 1),
        (lambda: [torch.zeros(500, 500).sum() for _ in range(3)], 1),  # one after the other
        (lambda: torch.zeros(500, 500) + torch.zeros(500, 500), 3),
    ],
)
def test_the_peak_is_what_is_held_at_once(work, matrices):
    assert peak_bytes(work) == pytest.approx(matrices * SQUARE, rel=0.01)


def test_the_profilers_own_lines_are_not_seen_and_others_are_again(capfd):
    peak_bytes(lambda: torch.zeros(9))
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"


def test_each_batch_has_a_row_for_each_loss_and_memory_grows_with_its_square():
    table = contrast_cost([32, 128, 512], width=8, repeats=2)
    assert list(table["loss"]) == list(CONTRASTS) * 3
    assert (table["seconds"] > 0).all()
    for _, part in table.groupby("loss"):
        peaks = part.set_index("batch")["peak_mb"]
        assert 10 < peaks[512] / peaks[128] < 17
        assert peaks[512] > 3 * 4 * 512**2 / 2**20  # logits, what is kept for backward, gradients


def test_the_losses_are_the_models_on_pairs_that_fit_by_chance_only():
    step = _Step(64, 32, "cpu")
    logits = (10 * step.ecg @ step.text.T).detach().double()
    rows = -torch.log_softmax(logits, 1).diagonal().mean()
    columns = -torch.log_softmax(logits, 0).diagonal().mean()
    assert step("InfoNCE") == pytest.approx(((rows + columns) / 2).item(), rel=1e-5)
    assert step("InfoNCE") == pytest.approx(math.log(64), abs=2)
    signs = 2 * torch.eye(64) - 1
    slow = sum(
        math.log1p(math.exp(-signs[i, j].item() * logits[i, j].item()))
        for i in range(64) for j in range(64)
    )  # fmt: skip
    assert step("ETS") == pytest.approx(slow / 64, rel=1e-5)


def test_a_batch_of_one_is_refused():
    with pytest.raises(UsageError, match="a batch of 1"):
        contrast_cost([1])
