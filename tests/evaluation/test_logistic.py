"""The batched solver against scikit-learn's, class by class and C by C."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from dbeta_lib.evaluation import logistic
from dbeta_lib.evaluation.metrics import auc_per_class


def task(n: int, d: int, classes: int, seed: int = 0, decay: float = 1e-2):
    """Correlated features `[n, d]` and labels `[n, classes]`, the last class rare."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) * np.geomspace(1, decay, d)
    x = rng.normal(size=(n, d)) @ mix
    x = (x - x.mean(0)) / x.std(0)
    logits = x @ rng.normal(size=(d, classes)) / np.sqrt(d) + rng.normal(size=(n, classes))
    y = logits > np.quantile(logits, np.linspace(0.5, 0.9, classes), axis=0).diagonal()
    y[0], y[1] = True, False
    return x, y.astype(int)


@pytest.mark.parametrize(("n", "d"), [(13, 40), (120, 40), (600, 20)])
def test_scores_and_auc_equal_scikit_learn(n, d):
    x, y = task(n, d, 3)
    fresh, truth = task(500, d, 3, seed=1)
    grid = np.array([1e-4, 1e-2, 1.0])
    w, b = logistic.fit(x, y, grid)
    assert w.shape == (3, d, 3) and b.shape == (3, 3)
    for m, c in enumerate(grid):
        for k in range(3):
            oracle = LogisticRegression(C=c, max_iter=2000, tol=1e-7).fit(x, y[:, k])
            theirs = oracle.decision_function(fresh)
            ours = fresh @ w[m][:, k] + b[m, k]
            assert np.abs(ours - theirs).max() < 0.03 * theirs.std() + 1e-4
            difference = auc_per_class(truth[:, k], ours) - auc_per_class(truth[:, k], theirs)
            assert abs(difference[0]) < 1e-3


def test_a_tighter_tolerance_reaches_scikit_learns_coefficients(monkeypatch):
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-14)
    x, y = task(200, 15, 2)
    w, b = logistic.fit(x, y, np.array([0.5]))
    for k in range(2):
        oracle = LogisticRegression(C=0.5, max_iter=10_000, tol=1e-12).fit(x, y[:, k])
        np.testing.assert_allclose(w[0][:, k], oracle.coef_[0], atol=1e-5)
        np.testing.assert_allclose(b[0, k], oracle.intercept_[0], atol=1e-5)


def test_the_gradient_is_that_of_the_objective():
    rng = np.random.default_rng(0)
    z, targets = rng.normal(size=(20, 4)), rng.choice([-1.0, 1.0], (20, 3))
    c, v = np.array([0.1, 1.0, 10.0]), rng.normal(size=(5, 3))
    _, gradient = logistic._objective(z, targets, c, v)
    for i in range(5):
        step = np.zeros_like(v)
        step[i] = 1e-6
        up, down = (logistic._objective(z, targets, c, v + s)[0] for s in (step, -step))
        np.testing.assert_allclose(gradient[i], (up - down) / 2e-6, rtol=1e-5, atol=1e-6)


def test_each_problem_is_solved_as_if_alone():
    x, y = task(80, 10, 4)
    together = logistic.fit(x, y, np.array([0.01, 1.0]))
    for k in range(4):
        alone = logistic.fit(x, y[:, [k]], np.array([1.0]))
        np.testing.assert_allclose(together[0][1][:, k], alone[0][0][:, 0], atol=2e-3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(-50, 50))
def test_moving_the_features_moves_only_the_intercept(seed, offset):
    x, y = task(40, 6, 2, seed)
    w, b = logistic.fit(x, y, np.array([0.3]))
    moved_w, moved_b = logistic.fit(x + offset, y, np.array([0.3]))
    np.testing.assert_allclose(moved_w, w, atol=1e-4)
    np.testing.assert_allclose((x + offset) @ moved_w[0] + moved_b, x @ w[0] + b, atol=1e-3)


def test_separable_and_constant_features_stay_finite():
    x = np.zeros((10, 3))
    x[:5, 0] = 1
    y = (x[:, [0]] > 0).astype(int)
    w, b = logistic.fit(x, y, np.array([1e-4, 1e6]))
    assert np.isfinite(w).all() and np.isfinite(b).all()
    assert auc_per_class(y, x @ w[1] + b[1])[0] == 1
    w, b = logistic.fit(np.ones((10, 3)), y, np.array([1.0]))
    np.testing.assert_allclose(np.ones((1, 3)) @ w[0] + b, 0, atol=1e-6)


def test_principal_axes_keep_all_distances_between_training_rows():
    for n, d in ((8, 30), (30, 8)):
        x = np.random.default_rng(0).normal(size=(n, d))
        z = logistic.principal_axes(x).project(x)
        gram = (x - x.mean(0)) @ (x - x.mean(0)).T
        np.testing.assert_allclose(z @ z.T, gram, atol=1e-9)
