"""CODE-test's published annotations, where they are (../shared/data beside the checkout)."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from dbeta_lib.data import code_test

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "code-test"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/code-test is not there")
IDS = [f"{i:04d}" for i in range(827)]


@pytest.fixture(scope="module")
def found():
    """The labels by task; the real set has annotations/ beside its tables, not below data/."""
    return {task: code_test.read_annotations(FOLDER, task, IDS) for task in code_test.TASKS}


def test_counts_of_the_gold_standard_are_the_paper_s(found):
    assert found["gold"].sum().tolist() == [28, 34, 30, 16, 13, 37]


def test_f1_of_the_network_is_the_paper_s(found):
    scores = [f1_score(found["gold"][name], found["dnn"][name]) for name in code_test.CLASSES]
    assert np.round(scores, 3).tolist() == [0.897, 0.944, 1.0, 0.882, 0.870, 0.960]


def test_gold_differs_from_two_cardiologists_that_agree_in_as_many_labels_as_is_said(found):
    agreed = (found["cardiologist1"] == found["cardiologist2"]).to_numpy()
    as_both = (found["gold"] == found["cardiologist1"]).to_numpy()
    assert (agreed & ~as_both).sum() == 6
    assert "6 labels" in code_test._convention("gold")
