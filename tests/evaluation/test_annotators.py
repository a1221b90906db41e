"""A model beside annotators: operating points by a slow loop, by scikit-learn, by the paper."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score, roc_curve

from dbeta_lib.data import code_test, prepare
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import annotators
from dbeta_lib.evaluation.metrics import patient_weights
from dbeta_lib.evaluation.zero_shot import summarise

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "data" / "code-test"
spec = importlib.util.spec_from_file_location("maker", ROOT / "tests/data/test_code_test.py")
maker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(maker)
CLASSES = ("a", "b", "c")


def drawn(seed=0, n=60, ties=True):
    """Labels, scores that know a little (rounded: many ties), votes that know more."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < 0.3).astype(int)
    scores = rng.normal(size=(n, 3)) + y
    votes = {name: np.abs(y - (rng.random(y.shape) < 0.15)) for name in ("one", "two")}
    return y, np.round(scores, 1) if ties else scores, votes


def result_of(y, scores, patients=None):
    patients = np.arange(len(y)) if patients is None else patients
    return summarise("gold", CLASSES, np.arange(len(y)), y, scores, patients, 20)


def slow_sensitivity(y, score, alarm_rate):
    """Highest sensitivity of the ROC at a false-alarm rate, from the rates of each threshold."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(score), reverse=True):
        called = score >= threshold
        points.append((called[y == 0].mean(), called[y == 1].mean()))
    best = max(t for f, t in points if f <= alarm_rate)
    for (f0, t0), (f1, t1) in pairwise(points):
        if f0 <= alarm_rate < f1:
            best = max(best, t0 + (alarm_rate - f0) / (f1 - f0) * (t1 - t0))
    return best


@pytest.mark.parametrize("ties", [True, False])
def test_points_are_those_of_a_slow_loop_and_of_scikit_learn(ties):
    y, scores, votes = drawn(1, ties=ties)
    for found in annotators.compare(result_of(y, scores), votes, 10):
        vote = votes[found.annotator]
        for k in range(3):
            alarms = vote[y[:, k] == 0, k].mean()
            assert found.sensitivity[k] == pytest.approx(recall_score(y[:, k], vote[:, k]))
            assert found.specificity[k] == pytest.approx(1 - alarms)
            slow = slow_sensitivity(y[:, k], scores[:, k], alarms)
            assert found.at_specificity[k] == pytest.approx(slow)
            false, true, _ = roc_curve(y[:, k], scores[:, k])
            if alarms not in false:
                assert slow == pytest.approx(np.interp(alarms, false, true))
            assert found.differences[k].value == pytest.approx(slow - found.sensitivity[k])
        assert found.mean.value == pytest.approx(np.mean([i.value for i in found.differences]))


def test_every_resample_is_the_comparison_of_its_drawn_rows():
    y, scores, votes = drawn(2)
    patients = np.arange(len(y)) // 2  # two rows a patient, drawn together
    found = annotators.compare(result_of(y, scores, patients), votes, 40, seed=3)
    weights = patient_weights(patients, 40, 3).astype(int)
    for a, name in enumerate(votes):
        gaps = []
        for drawn_rows in weights:
            rows = np.repeat(np.arange(len(y)), drawn_rows)
            vote, truth = votes[name][rows], y[rows]
            gaps.append([
                slow_sensitivity(truth[:, k], scores[rows, k], vote[truth[:, k] == 0, k].mean())
                - vote[truth[:, k] == 1, k].mean()
                for k in range(3)
            ])  # fmt: skip
        low, high = np.quantile(gaps, (0.025, 0.975), axis=0)
        assert [i.low for i in found[a].differences] == pytest.approx(low)
        assert [i.high for i in found[a].differences] == pytest.approx(high)
        mean = np.quantile(np.mean(gaps, axis=1), (0.025, 0.975))
        assert [found[a].mean.low, found[a].mean.high] == pytest.approx(mean)
        assert found[a].mean.patients == len(y) // 2


def test_votes_as_scores_meet_their_own_point_and_a_perfect_score_is_above_all():
    y, _, votes = drawn(4)
    (same, *_) = annotators.compare(result_of(y, votes["one"].astype(float)), votes, 10)
    assert same.annotator == "one"
    assert [i.value for i in same.differences] == pytest.approx([0, 0, 0])
    for perfect in annotators.compare(result_of(y, y.astype(float)), votes, 10):
        assert perfect.at_specificity.tolist() == [1, 1, 1]
        assert perfect.mean.low >= 0


def test_an_annotator_without_false_alarms_meets_the_scores_above_every_negative():
    y = np.array([[1], [1], [1], [0], [0]] * 2)
    score = np.array([[0.9], [0.6], [0.2], [0.4], [0.1]] * 2)
    found = summarise("gold", ("a",), np.arange(10), y, score, np.arange(10), 10)
    vote = y * [[1], [0], [0], [0], [0], [1], [1], [1], [0], [0]]
    (one,) = annotators.compare(found, {"who": vote}, 10)
    assert one.specificity[0] == 1
    assert one.at_specificity[0] == pytest.approx(2 / 3)
    assert one.kind == "not said"


def test_a_class_without_positives_has_no_point_and_is_left_out_of_the_mean():
    y, scores, votes = drawn(5)
    y[:, 1] = 0
    found = annotators.compare(result_of(y, scores), votes, 10)[0]
    assert np.isnan(found.sensitivity[1]) and np.isnan(found.differences[1].value)
    known = [found.differences[k].value for k in (0, 2)]
    assert found.mean.value == pytest.approx(np.mean(known))
    assert np.isfinite(annotators.table([found])["sensitivity"][0])


def test_wrong_votes_are_refused_by_name():
    y, scores, votes = drawn(6)
    for wrong in (votes["one"][:-1], votes["one"] * 2):
        with pytest.raises(UsageError, match="votes of 'one'"):
            annotators.compare(result_of(y, scores), {"one": wrong}, 10)
    assert annotators.compare(result_of(y, scores), {}, 10) == []


def test_tables_and_records_say_who_made_the_gold_standard():
    y, scores, votes = drawn(7)
    named = dict(zip(annotators.KINDS, [votes["one"]] * 6))
    found = annotators.compare(result_of(y, scores), named, 10)
    table = annotators.table(found).set_index("annotator")["kind"]
    assert list(table) == [annotators.INDEPENDENT] * 3 + [annotators.MADE_GOLD] * 2 + [
        annotators.NETWORK
    ]
    assert table.index[0] == "cardiology residents"
    assert len(annotators.class_table(found)) == 6 * 3
    facts = {"encoder": "e", "data": "code-test", "store_fingerprint": "f"}
    record = annotators.from_comparison(found[3], **facts, variant="v")
    assert (record.against, record.metric) == ("cardiologist1", "sensitivity_gain")
    assert record.value == found[3].mean.value and record.k_used == 3
    names = {annotators.from_comparison(one, **facts).file_name for one in found}
    assert len(names) == 6


# ---- with CODE-test's layout ----


def ecg(i):
    time = np.arange(2800) / 400
    limb = np.stack([np.sin(2 * np.pi * time), 0.7 * np.sin(2 * np.pi * time + 0.2 * i)])
    one, two = limb
    rest = [two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([one, two, *rest, *[one + 0.1 * k * two for k in range(6)]])


@pytest.fixture
def folder(tmp_path):
    maker.write_code_test(tmp_path / "code-test", [ecg(i) for i in range(24)])
    return tmp_path / "code-test"


def test_votes_come_from_the_store_by_the_names_of_classes(folder, tmp_path):
    store = prepare("code-test", folder, tmp_path / "store", 100, workers=1, progress=False)
    classes, rows = ("AF", "SB"), np.array([5, 2, 9])
    found = annotators.votes_of(store, classes, rows)
    assert list(found) == list(annotators.KINDS)
    for name, votes in found.items():
        published = pd.read_csv(folder / f"data/annotations/{name}.csv")
        assert votes.tolist() == published.loc[rows, list(classes)].to_numpy().tolist()
    with pytest.raises(DBetaError, match="'cardiology_residents' has no column WPW; prepare"):
        annotators.votes_of(store, ("WPW",), rows)


def test_a_store_without_annotators_is_told_where_they_come_from(store):
    with pytest.raises(UsageError, match=r"no label task 'cardiology_residents'; .* CODE-test"):
        annotators.votes_of(store, ("slow",), np.arange(3))


def test_an_annotator_with_missing_rows_is_one_clear_sentence(folder, tmp_path, monkeypatch):
    store = prepare("code-test", folder, tmp_path / "store", 100, workers=1, progress=False)
    whole = type(store).raw_labels

    def silent(self, task):
        frame = whole(self, task)
        if task == "medical_students":
            frame.iloc[[3, 8]] = pd.NA
        return frame

    monkeypatch.setattr(type(store), "raw_labels", silent)
    said = r"'medical_students' has no vote on 2 of 10 recordings \(the first 0003\); prepare"
    with pytest.raises(DBetaError, match=said) as caught:
        annotators.votes_of(store, code_test.CLASSES, np.arange(10))
    assert str(store.path) in str(caught.value) and "\n" not in str(caught.value)
    assert annotators.votes_of(store, code_test.CLASSES, np.array([0, 1]))


@pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="../shared/data/code-test is not there: no published votes"
)
def test_balanced_accuracies_are_the_aucs_that_were_printed_for_people():
    ids = [f"{i:04d}" for i in range(827)]
    table = {t: code_test.read_annotations(PUBLISHED, t, ids) for t in code_test.TASKS}
    gold = table["gold"].to_numpy()
    votes = {name: table[name].to_numpy() for name in annotators.KINDS}
    as_scores = votes["dnn"].astype(float)
    result = summarise("gold", code_test.CLASSES, np.arange(827), gold, as_scores, ids, 10)
    found = {c.annotator: c for c in annotators.compare(result, votes, 50)}
    printed = {  # macro AUC of the votes, per cent, as D-BETA's paper has them
        "cardiology_residents": 92.08, "emergency_residents": 90.51, "medical_students": 93.61,
        "dnn": 96.60,
    }  # fmt: skip
    for name, value in printed.items():
        mean = 100 * found[name].balanced_accuracy.mean()
        assert mean == pytest.approx(100 * roc_auc_score(gold, votes[name], average="macro"))
        assert mean == pytest.approx(value, abs=0.006), name
    assert found["dnn"].mean.value == pytest.approx(0, abs=1e-12)
