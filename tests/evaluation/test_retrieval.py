"""Places, recall and MAP@R, against slow loops over the definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import metrics, retrieval
from dbeta_lib.evaluation.retrieval import own_places, recall_intervals, retrieve


def test_places_are_those_of_sorting_each_row():
    similarity = np.random.default_rng(0).normal(size=(7, 7))
    by_sorting = [list(np.argsort(-row)).index(i) + 1 for i, row in enumerate(similarity)]
    assert own_places(similarity).tolist() == by_sorting


@given(st.integers(1, 12))
def test_a_constant_similarity_gives_everybody_the_middle_place(n):
    assert own_places(np.ones((n, n))).tolist() == [(n + 1) / 2] * n


def test_ties_share_their_places_with_those_below_and_above():
    assert own_places(np.array([[1, 1, 2], [0, 3, 0], [5, 5, 5]])).tolist() == [2.5, 1, 2]


def test_what_pairs_nothing_is_refused():
    with pytest.raises(UsageError, match=r"\[n, n\]"):
        own_places(np.ones((2, 3)))
    with pytest.raises(UsageError, match="NaN"):
        own_places(np.array([[np.nan]]))


def expected_first_place(scores, is_right):
    """Mean place of the first right candidate over every order that sorts the scores downwards."""
    places = []
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            places.append(next(i for i, c in enumerate(order, 1) if is_right[c]))
    return np.mean(places)


def places_by_definition(similarity, ecg_text, report_text):
    """The four lists of places, each from all orders of one query's candidates."""
    texts = list(dict.fromkeys(report_text))
    column = {text: list(report_text).index(text) for text in texts}
    asked = [text for text in texts if text in ecg_text]
    first_ecg = {text: list(ecg_text).index(text) for text in asked}
    ecg_to_report = [
        expected_first_place([row[column[t]] for t in texts], [t == own for t in texts])
        for row, own in zip(similarity, ecg_text)
    ]
    report_to_ecg = [
        expected_first_place([row[column[t]] for row in similarity], [t == own for own in ecg_text])
        for t in asked
    ]
    there = [
        expected_first_place(
            [similarity[first_ecg[t]][column[u]] for u in asked], [u == t for u in asked]
        )
        for t in asked
    ]
    back = [
        expected_first_place(
            [similarity[first_ecg[u]][column[t]] for u in asked], [u == t for u in asked]
        )
        for t in asked
    ]
    return ecg_to_report, report_to_ecg, there, back


pools = st.integers(0, 2**32 - 1).map(np.random.default_rng).map(
    lambda rng: (
        rng.integers(0, 3, (5, 6)).astype(np.float32),
        np.array(list("abcd"))[rng.integers(0, 4, 5)],
        np.concatenate([rng.permutation(list("abcd")), rng.choice(list("abcde"), 2)]),
    )
)  # fmt: skip


@given(pools)
def test_places_are_the_expected_ones_over_all_orders_of_the_ties(pool):
    similarity, ecg_text, report_text = pool
    found = retrieve(similarity, ecg_text, report_text, ks=(1, 2))
    expected = places_by_definition(
        similarity.tolist(), ecg_text.tolist(), report_text.tolist()
    )  # texts in the order of the reports
    rankings = (
        found.ecg_to_report,
        found.report_to_ecg,
        found.instance_ecg_to_report,
        found.instance_report_to_ecg,
    )
    for ranking, places in zip(rankings, expected, strict=True):
        np.testing.assert_allclose(ranking.places, places)
        for k in (1, 2):
            assert ranking.recall[k] == np.mean([place <= k + 1e-12 for place in places])
        assert ranking.median_rank == pytest.approx(np.median(places))


def large_pool(seed=0):
    """120 ECGs with 30 of 40 texts, some texts twice among 50 reports, similarities untied."""
    rng = np.random.default_rng(seed)
    ecg_text = rng.integers(0, 30, 120)
    report_text = np.concatenate([rng.permutation(40), rng.integers(0, 40, 10)])
    similarity = rng.normal(size=(120, 50)) + 1.5 * (ecg_text[:, None] == report_text)
    return similarity, ecg_text, report_text


def test_recall_and_map_equal_a_loop_that_sorts_each_query():
    similarity, ecg_text, report_text = large_pool()
    found = retrieve(similarity, ecg_text, report_text)
    kept = [i for i, text in enumerate(report_text) if text not in report_text[:i]]
    for k in (1, 5, 10):
        hits = [
            own in report_text[kept][np.argsort(-row[kept])[:k]]
            for row, own in zip(similarity, ecg_text)
        ]
        assert found.ecg_to_report.recall[k] == pytest.approx(np.mean(hits))
        asked = [c for c in kept if report_text[c] in ecg_text]
        hits = [report_text[c] in ecg_text[np.argsort(-similarity[:, c])[:k]] for c in asked]
        assert found.report_to_ecg.recall[k] == pytest.approx(np.mean(hits))
    precisions = []
    for c in asked:
        is_right = (ecg_text == report_text[c])[np.argsort(-similarity[:, c])]
        right = is_right.sum()
        at = [is_right[:i].mean() * is_right[i - 1] for i in range(1, right + 1)]
        precisions.append(sum(at) / right)
    assert found.map_at_r == pytest.approx(np.mean(precisions))


def test_pool_sizes_are_stated():
    found = retrieve(*large_pool())
    frame = found.frame()
    asked = len(np.unique(large_pool()[1]))
    assert frame["queries"].tolist() == [120, asked, asked, asked]
    assert frame["pool"].tolist() == [40, 120, asked, asked]
    assert frame.loc["report_to_ecg", "map_at_r"] == found.map_at_r
    assert frame["map_at_r"].isna().sum() == 3
    assert frame.loc["ecg_to_report", "recall@5"] == found.ecg_to_report.recall[5]


def test_a_duplicate_text_is_a_right_answer_and_no_second_candidate():
    # both ECGs have the text "a"; ECG 0 likes the second column, which is dropped
    found = retrieve([[0.2, 0.9, 0.1], [0.9, 0.2, 0.5]], ["a", "a"], ["a", "a", "b"], ks=[1])
    assert found.ecg_to_report.places.tolist() == [1, 1] and found.ecg_to_report.pool == 2
    assert found.report_to_ecg.places.tolist() == [1] and found.map_at_r == 1
    assert found.instance_ecg_to_report.pool == 1


def test_a_constant_similarity_finds_nothing_at_the_top():
    found = retrieve(np.zeros((20, 20)), range(20), range(20))
    for name in ("ecg_to_report", "report_to_ecg", "instance_report_to_ecg"):
        ranking = getattr(found, name)
        assert ranking.recall == {1: 0, 5: 0, 10: 0} and ranking.median_rank == 10.5
    assert found.map_at_r == pytest.approx(1 / 20)


def test_pairs_without_duplicates_are_the_places_of_own_places():
    similarity = np.random.default_rng(3).integers(0, 9, (15, 15)) / 8
    found = retrieve(similarity, range(15), range(15))
    for ranking in (found.ecg_to_report, found.instance_ecg_to_report):
        assert np.array_equal(ranking.places, own_places(similarity))
    for ranking in (found.report_to_ecg, found.instance_report_to_ecg):
        assert np.array_equal(ranking.places, own_places(similarity.T))


def test_blocks_do_not_change_anything(monkeypatch):
    whole = retrieve(*large_pool())
    monkeypatch.setattr(retrieval, "BLOCK", 300)  # seven rows or two columns at a time
    parts = retrieve(*large_pool())
    assert whole.frame().equals(parts.frame())
    assert np.array_equal(whole.report_to_ecg.places, parts.report_to_ecg.places)


def test_only_a_block_of_a_mapped_matrix_is_held(tmp_path, monkeypatch):
    """NumPy reports its arrays to tracemalloc; the file's 32 MB are not among them."""
    import tracemalloc

    path = tmp_path / "similarity.npy"
    rng = np.random.default_rng(0)
    similarity = np.lib.format.open_memmap(path, "w+", np.float32, (4000, 2000))
    for start in range(0, 4000, 500):
        similarity[start : start + 500] = rng.normal(size=(500, 2000))
    monkeypatch.setattr(retrieval, "BLOCK", 100_000)
    tracemalloc.start()
    retrieve(np.load(path, mmap_mode="r"), rng.integers(0, 2000, 4000), range(2000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


def test_recall_intervals_equal_a_loop_over_resamples():
    similarity, ecg_text, report_text = large_pool()
    patients = np.random.default_rng(1).integers(0, 35, 120)
    found = retrieve(similarity, ecg_text, report_text, ks=(1, 5))
    weights = metrics.patient_weights(patients, 60, 7)
    texts = found.report_to_ecg.query_of_ecg
    for k in (1, 5):
        hit = found.ecg_to_report.places <= k
        slow = [(w * hit).sum() / w.sum() for w in weights]
        ours = recall_intervals(found.ecg_to_report, patients, 60, 7)[k]
        assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(slow, (0.025, 0.975))))
        assert ours.value == found.ecg_to_report.recall[k]
        assert (ours.rows, ours.patients, ours.resamples) == (120, len(np.unique(patients)), 60)
        slow = []
        for w in weights:
            of_text = [w[texts == q].mean() for q in range(texts.max() + 1)]
            slow.append(np.average(found.report_to_ecg.places <= k, weights=of_text))
        ours = recall_intervals(found.report_to_ecg, patients, 60, 7)[k]
        assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(slow, (0.025, 0.975))))


def test_the_interval_of_the_pool_of_instances_counts_its_ecgs_only():
    similarity, ecg_text, report_text = large_pool()
    found = retrieve(similarity, ecg_text, report_text, ks=(1,)).instance_ecg_to_report
    patients = np.arange(120) // 2
    pool = [list(ecg_text).index(text) for text in np.unique(ecg_text)]
    assert sorted(np.flatnonzero(found.query_of_ecg >= 0)) == sorted(pool)
    weights = metrics.patient_weights(patients, 50, 0)
    order = np.argsort([list(report_text).index(ecg_text[i]) for i in pool])
    drawn = weights[:, np.array(pool)[order]]
    slow = (drawn * (found.places <= 1)).sum(axis=1) / drawn.sum(axis=1)
    ours = recall_intervals(found, patients, 50)[1]
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(slow, (0.025, 0.975))))
    assert (ours.rows, ours.patients) == (len(pool), len(np.unique(patients[pool])))


def test_one_patient_with_many_ecgs_widens_the_interval():
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(25), 8)
    good = rng.random(25) < 0.5  # a patient's ECGs are all found or all lost
    similarity = rng.normal(size=(200, 200)) + 20 * np.diag(np.where(good[patient], 1, -1))
    ranking = retrieve(similarity, range(200), range(200)).ecg_to_report
    by_patient = recall_intervals(ranking, patient)[1]
    by_ecg = recall_intervals(ranking, np.arange(200))[1]
    assert by_patient.high - by_patient.low > 2 * (by_ecg.high - by_ecg.low)


@pytest.mark.parametrize(
    ("similarity", "ecg_text", "report_text", "ks", "said"),
    [
        (np.ones((2, 3)), ["a", "b"], ["a", "b"], (1,), "does not fit 2 ECGs and 2 reports"),
        (np.ones(2), ["a", "b"], ["a"], (1,), "does not fit"),
        (np.ones((0, 1)), [], ["a"], (1,), "at least one"),
        (np.ones((2, 2)), ["a", "c"], ["a", "b"], (1,), "first in row 1"),
        (np.ones((2, 2)), [1, 2], ["1", "2"], (1,), "not among the reports"),
        (np.ones((2, 2)), ["a", None], ["a", "b"], (1,), "no text id"),
        (np.ones((2, 2)), ["a", "b"], ["a", None], (1,), "no text id"),
        (np.array([[1, np.nan], [0, 1]]), ["a", "b"], ["a", "b"], (1,), "NaN"),
        (np.ones((2, 2)), ["a", "b"], ["a", "b"], (0,), "from 1 up"),
        (np.ones((2, 2)), ["a", "b"], ["a", "b"], (1.5,), "from 1 up"),
        (np.ones((2, 2)), ["a", "b"], ["a", "b"], (), "from 1 up"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(similarity, ecg_text, report_text, ks, said):
    with pytest.raises(UsageError, match=said):
        retrieve(similarity, ecg_text, report_text, ks)


def test_patients_of_another_length_are_refused():
    ranking = retrieve(np.eye(3), range(3), range(3)).ecg_to_report
    with pytest.raises(UsageError, match="2 patients are given for 3 ECGs"):
        recall_intervals(ranking, [1, 2])
    with pytest.raises(UsageError, match="two patients"):
        recall_intervals(ranking, [1, 1, 1])
