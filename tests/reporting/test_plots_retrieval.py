import numpy as np
import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.prompts import select
from dbeta_lib.evaluation.retrieval_confusion import Confusion
from dbeta_lib.reporting import plots

RANDOM = np.random.default_rng(0)


def made(k):
    return Confusion(RANDOM.uniform(size=(k, k)), RANDOM.uniform(size=k), np.arange(k) * 700)


@pytest.mark.parametrize("classes", [
    ["a"], ["CD", "HYP", "MI", "NORM", "STTC"], list(select("synthetic", "conditions")),
    list(select("ptb-xl", "sub")), [f"a long name of a class, number {i}" for i in range(30)],
], ids=len)  # fmt: skip
def test_no_text_is_cut_or_lies_upon_another(classes, layout_faults):
    chart = plots.plot_confusion(made(len(classes)), classes, title="which is taken for which?")
    assert layout_faults(chart) == []


def test_cells_are_the_shares_and_the_last_row_is_luck(texts_of):
    found = Confusion(np.array([[0.5, np.nan], [0.25, 1]]), np.array([0.3, 0.1]), np.array([4, 9]))
    chart = plots.plot_confusion(found, ["AF", "<i>$x$"], asked="report", answer="ECG")
    numbers = [t for t in texts_of(chart) if t in {"50", "25", "30", "10"}]
    assert sorted(numbers) == ["10", "25", "30", "50"]
    assert {"any ECG", "AF (n = 4)", "class of the ECG found first"} <= set(texts_of(chart))
    last = chart.data[chart.data["asked"] == "any ECG"]
    assert last["share"].tolist() == [0.3, 0.1] and last["found"].tolist() == ["AF", "<i>$x$"]


def test_other_names_than_shares_are_refused():
    with pytest.raises(UsageError, match="do not fit"):
        plots.plot_confusion(made(3), ["a", "b"])
