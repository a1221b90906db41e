"""The equal error rate against the crossing on scikit-learn's ROC curve."""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from dbeta_lib.evaluation.equal_error_rate import equal_error_rate, resampled_rates
from dbeta_lib.evaluation.metrics import patient_weights


def by_scikit_learn(similarity):
    own = np.eye(len(similarity), dtype=bool)
    far, tpr, _ = roc_curve(own.ravel(), similarity.ravel(), drop_intermediate=False)
    return brentq(lambda f: 1 - f - interp1d(far, tpr)(f), 0, 1)


@pytest.mark.parametrize("levels", [None, 12, 3])
def test_equal_error_rate_is_scikit_learn_s_crossing_with_and_without_ties(levels):
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.7, 1.5):
        similarity = rng.normal(size=(25, 25)) + shift * np.eye(25)
        if levels:
            similarity = np.round(similarity * levels / 4)
        rate, _ = equal_error_rate(similarity)
        assert rate == pytest.approx(by_scikit_learn(similarity), abs=1e-9)


def test_at_the_threshold_both_errors_are_about_the_rate():
    rng = np.random.default_rng(4)
    similarity = rng.normal(size=(300, 300)) + 2 * np.eye(300)
    rate, threshold = equal_error_rate(similarity)
    genuine, impostor = np.diag(similarity), similarity[~np.eye(300, dtype=bool)]
    assert (genuine < threshold).mean() == pytest.approx(rate, abs=0.005)
    assert (impostor >= threshold).mean() == pytest.approx(rate, abs=0.005)


def test_perfect_is_0_reversed_is_1_and_constant_is_a_coin():
    assert equal_error_rate(np.eye(5))[0] == 0
    assert equal_error_rate(1 - np.eye(5))[0] == 1
    assert equal_error_rate(np.zeros((5, 5)))[0] == 0.5


def test_a_resample_is_the_rate_of_the_pairs_written_out():
    rng = np.random.default_rng(5)
    similarity = np.round(rng.normal(size=(9, 9)) + np.eye(9), 1)
    weights = patient_weights(np.arange(9), 20, 0)
    for w, found in zip(weights, resampled_rates(similarity, weights)):
        labels, scores = [], []
        for i in range(9):
            for j in range(9):
                copies = int(w[i] if i == j else w[i] * w[j])
                labels += [i == j] * copies
                scores += [similarity[i, j]] * copies
        far, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
        wanted = brentq(lambda f, far=far, tpr=tpr: 1 - f - interp1d(far, tpr)(f), 0, 1)
        assert found == pytest.approx(wanted, abs=1e-9)
    alone = resampled_rates(similarity, np.eye(9)[:1])
    assert np.isnan(alone).all()
