"""Wrong labels: planted ones are found far more often than by guessing, clean ones seldom named."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import label_noise, logistic


@pytest.fixture(scope="module")
def clean():
    """Two classes that features tell well, three rows a patient."""
    draw = np.random.default_rng(0)
    y = (draw.random((900, 2)) < (0.3, 0.1)).astype(int)
    x = draw.normal(size=(900, 12))
    x[:, :2] += 4 * y
    return x, pd.DataFrame(y, columns=["a", "b"]), np.arange(900) // 3


def test_planted_noise_is_found_and_stands_first(clean):
    x, labels, patients = clean
    wrong, is_flipped = label_noise.planted(labels, 0.06)
    assert ((wrong != labels).to_numpy() == is_flipped).all() and is_flipped.mean() > 0.04
    assert wrong.sum().tolist() == labels.sum().tolist()
    found = label_noise.suspects(x, wrong, patients=patients)
    is_wrong = is_flipped[found["row"], found["class"].map({"a": 0, "b": 1})]
    assert is_wrong.mean() > 0.9  # by guessing: 0.06
    assert is_wrong.sum() > 0.6 * is_flipped.sum()


def test_clean_labels_are_seldom_suspect(clean):
    x, labels, patients = clean
    assert len(label_noise.suspects(x, labels, patients=patients)) < 0.03 * labels.size


def test_a_row_is_judged_by_other_patients_alone(clean, monkeypatch):
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-14)
    x, labels, patients = clean
    y = labels.to_numpy()
    p = label_noise.cross_fitted(x, y, patients, 3, 0.01, seed=1)
    people = np.unique(patients.astype(str), return_inverse=True)[1]
    moved = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0).mean())
    folds = label_noise.rng(1, "label-noise-folds").permutation(300)[people] % 3
    for part in range(3):
        inside = folds != part
        assert not set(patients[inside]) & set(patients[~inside])
        slow = LogisticRegression(C=0.01, tol=1e-10, max_iter=5000).fit(moved[inside], y[inside, 0])
        wanted = slow.predict_proba(moved[~inside])[:, 1]
        np.testing.assert_allclose(p[~inside, 0], wanted, atol=1e-5)


def test_a_class_that_cannot_be_fitted_is_left_out(clean):
    x, labels, patients = clean
    found = label_noise.suspects(x, labels.assign(c=0), patients=patients)
    assert set(found["class"]) <= {"a", "b"}


def test_wrong_use_is_named(clean):
    x, labels, patients = clean
    with pytest.raises(UsageError, match="row by row"):
        label_noise.suspects(x[1:], labels, patients=patients)
    with pytest.raises(UsageError, match="folds need as many patients"):
        label_noise.suspects(x, labels, patients=np.zeros(900))
    with pytest.raises(UsageError, match=r"share=1\.5"):
        label_noise.planted(labels, 1.5)
