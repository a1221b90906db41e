import numpy as np
import pandas as pd
import pytest
import torch

from dbeta_lib.evaluation.reconstruction import hidden_error


class Known:
    """Draws `given` for 2 records of 12 leads, 3 tokens of 2 samples; the last token is hidden."""

    target = torch.arange(2 * 12 * 6.0).reshape(2, 12, 6)

    def __init__(self, given: torch.Tensor):
        self.given = given

    def reconstruct(self, ecg, noise, texts):
        mask = torch.tensor([[0.0, 0, 1], [0, 0, 1]])
        return {"prediction": self.given, "target": self.target, "mask": mask}


def test_only_hidden_samples_count():
    drawn = Known.target.clone()
    drawn[..., :4] += 100  # seen by the model: no matter what it draws there
    drawn[..., 4:] += 3
    error = hidden_error(Known(drawn), np.zeros((2, 12, 6)), torch.zeros(2, 3))
    assert error["model"] == pytest.approx(9)
    assert error["flat line"] == pytest.approx((Known.target[..., 4:] ** 2).mean().item())


def test_drawing_nothing_costs_what_the_flat_line_costs():
    nothing = torch.zeros_like(Known.target)
    error = hidden_error(
        Known(nothing), np.zeros((2, 12, 6)), torch.zeros(2, 3), pd.Series(["a", "b"])
    )
    assert error["model"] == pytest.approx(error["flat line"])
