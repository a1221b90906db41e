"""The interval of the Challenge's score against resampling the records one by one."""

from pathlib import Path

import numpy as np
import pytest

from dbeta_lib.data import cinc2021
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.challenge import challenge_score, read_weights
from dbeta_lib.evaluation.challenge_interval import challenge_bootstrap, weights_for
from dbeta_lib.evaluation.metrics import patient_weights

OFFICIAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "cinc2021"
CLASSES, SINUS = ["AF", "LBBB|CLBBB", "NSR"], "NSR"
WEIGHTS = np.array([[1, 0.4, 0.3], [0.4, 1, 0.2], [0.1, 0.2, 1]])


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    labels = rng.random((40, 3)) < 0.4
    return labels, labels ^ (rng.random((40, 3)) < 0.2), np.arange(40) // 2


def test_each_resample_is_the_score_of_the_records_drawn(answers):
    labels, outputs, patients = answers
    found = challenge_bootstrap(labels, outputs, WEIGHTS, CLASSES, patients, 60, 3, sinus=SINUS)
    values = []
    for weights in patient_weights(patients, 60, 3).astype(int):
        rows = np.repeat(np.arange(40), weights)
        values.append(challenge_score(labels[rows], outputs[rows], WEIGHTS, CLASSES, SINUS))
    assert found.value == challenge_score(labels, outputs, WEIGHTS, CLASSES, SINUS)
    expected = np.quantile(values, (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-9)
    assert (found.rows, found.patients, found.resamples) == (40, 20, 60)
    assert found.low < found.value < found.high


def test_records_of_sinus_rhythm_alone_score_0():
    labels = np.tile([0, 0, 1], (6, 1))
    found = challenge_bootstrap(labels, labels, WEIGHTS, CLASSES, range(6), 20, sinus=SINUS)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def write_matrix(folder: Path) -> Path:
    """A matrix of three of the Challenge's classes, by their codes: AF, LBBB and sinus rhythm."""
    names = ["164889003", "733534002|164909002", "426783006"]
    rows = [",".join([name, *map(str, row)]) for name, row in zip(names, WEIGHTS)]
    path = folder / "weights.csv"
    path.write_text("\n".join([",".join(["", *names]), *rows]) + "\n")
    return path


def test_the_matrix_is_brought_to_the_order_of_the_store_s_classes(tmp_path):
    path = write_matrix(tmp_path)
    names = list(dict.fromkeys(cinc2021.read_classes(tmp_path).values()))
    assert len(names) == 3
    for order in ([0, 1, 2], [2, 0, 1]):
        weights, sinus = weights_for(path, [names[i] for i in order])
        assert weights.tolist() == WEIGHTS[np.ix_(order, order)].tolist()
        assert sinus == names[2]
    with pytest.raises(UsageError, match="for the task cinc2021"):
        weights_for(path, ["NORM", "MI", "HYP"])


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="../shared/data/cinc2021 is not there")
@pytest.mark.parametrize("name", ["weights.csv", "weights_abbreviations.csv"])
def test_the_official_matrices_are_in_the_order_of_the_loader_s_classes(name):
    classes = list(dict.fromkeys(cinc2021.read_classes(OFFICIAL).values()))
    weights, sinus = weights_for(OFFICIAL / name, classes[::-1])
    assert np.array_equal(weights[::-1, ::-1], read_weights(OFFICIAL / "weights.csv")[1])
    assert sinus in classes
    right = np.eye(26, dtype=int)
    for outputs, expected in ((right, 1), (np.tile(right[classes[::-1].index(sinus)], (26, 1)), 0)):
        found = challenge_score(right, outputs, weights, classes[::-1], sinus)
        assert found == pytest.approx(expected)
