"""Top-k, galleries of other sizes, gains and records, against slow loops."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation import identification as ident
from dbeta_lib.evaluation.metrics import patient_weights
from dbeta_lib.evaluation.results import load
from dbeta_lib.reporting import paper_numbers


def table(rows):
    """A store's table of (record_id, patient_id, split)."""
    frame = pd.DataFrame(rows, columns=["record_id", "patient_id", "split"])
    return frame.assign(window=0, signal_hash=[f"h{i}" for i in range(len(frame))])


def cohort(patients=60, noise=1.0, width=8, seed=0):
    """Two records of each patient, drawn around a centre of his own; 20 train and 10 val."""
    rng = np.random.default_rng(seed)
    splits = ["train"] * 20 + ["val"] * 10 + ["test"] * (patients - 30)
    rows = [(f"{2 * i + j:03d}", f"p{i}", splits[i]) for i in range(patients) for j in (0, 1)]
    centres = np.repeat(rng.normal(size=(patients, width)), 2, axis=0)
    return centres + noise * rng.normal(size=(2 * patients, width)), table(rows)


def slow_cosines(x, pairs):
    out = np.zeros((len(pairs), len(pairs)))
    for i, probe in enumerate(pairs.probe):
        for j, other in enumerate(pairs.gallery):
            a, b = x[probe], x[other]
            out[i, j] = a @ b / math.sqrt(a @ a) / math.sqrt(b @ b)
    return out


def test_top_k_is_the_slow_loop_over_cosines_of_standardised_features():
    x, records = cohort()
    found = ident.identify(x, records, resamples=50)
    train = x[:40]
    cosines = slow_cosines((x - train.mean(0)) / train.std(0), found.pairs)
    assert np.allclose(found.similarity, cosines)
    order = np.argsort(-cosines, axis=1, kind="stable")
    for k, interval in ((1, found.top1), (5, found.top5)):
        hits = [i in order[i, :k] for i in range(30)]
        assert interval.value == np.mean(hits)
        assert interval.low < interval.value < interval.high
        assert (interval.rows, interval.patients, interval.resamples) == (30, 30, 50)


def test_ties_go_to_the_smallest_index_as_an_argmax_has_it():
    assert ident.own_places(np.zeros((4, 4))).tolist() == [1, 2, 3, 4]
    similarity = np.array([[1, 1, 0], [1, 1, 1], [0, 3, 1.0]])
    places = ident.own_places(similarity)
    assert places.tolist() == [1, 2, 2]
    assert ((places == 1) == (similarity.argmax(axis=1) == np.arange(3))).all()


def test_fairseq_compares_cosines_to_the_kernels_by_a_plain_dot_product():
    x, records = cohort()
    kernels = np.random.default_rng(1).normal(size=(7, 8))
    found = ident.identify(
        x, records, standardise=False, protocol="fairseq", kernels=kernels, resamples=10
    )
    vectors = np.zeros((len(x), 7))
    for i, row in enumerate(x):
        for k, kernel in enumerate(kernels):
            vectors[i, k] = row @ kernel / np.linalg.norm(row) / np.linalg.norm(kernel)
    pairs = found.pairs
    assert np.allclose(found.similarity, vectors[pairs.probe] @ vectors[pairs.gallery].T)
    with pytest.raises(UsageError, match="give kernels"):
        ident.identify(x, records, protocol="fairseq")


def test_gain_is_paired_on_the_same_patients():
    x, records = cohort(patients=110, noise=0.7)
    blurred = x + np.random.default_rng(6).normal(0, 2, x.shape)
    a, b = (ident.identify(f, records, resamples=20) for f in (x, blurred))
    for metric, better in (("top1", 1), ("top5", 1), ("eer", -1)):
        found = ident.gain(a, b, metric, resamples=200)
        difference = getattr(a, metric).value - getattr(b, metric).value
        assert found.value == pytest.approx(difference)
        assert min(better * found.low, better * found.high) > 0
        assert ident.gain(a, a, metric, resamples=20).high == 0
    weights = patient_weights(a.patients, 200, 0)
    drawn = [((a.places == 1) * w - (b.places == 1) * w).sum() / w.sum() for w in weights]
    found = ident.gain(a, b, resamples=200)
    assert np.allclose((found.low, found.high), np.quantile(drawn, (0.025, 0.975)))
    with pytest.raises(UsageError, match="same gallery"):
        ident.gain(a, ident.identify(x, records, "val", resamples=5))
    with pytest.raises(UsageError, match="'top2' is no score"):
        ident.gain(a, b, "top2")


def test_smaller_galleries_are_the_mean_over_all_of_them():
    x, records = cohort(patients=38, noise=2.0)
    found = ident.identify(x, records, resamples=5)
    size, patients = 3, 8
    for k in (1, 2):
        hits = []
        for i in range(patients):
            others = [j for j in range(patients) if j != i]
            for chosen in combinations(others, size - 1):
                ahead = sum(found.similarity[i, j] > found.similarity[i, i] for j in chosen)
                hits.append(ahead < k)
        rates = ident.rate_by_gallery(found, [size, patients], [k]).set_index("size")
        assert rates["rate"][size] == pytest.approx(np.mean(hits))
        assert rates["chance"][size] == pytest.approx(k / size)
    whole = ident.rate_by_gallery(found)
    assert whole.query("k == 1")["rate"].iloc[-1] == pytest.approx(found.top1.value)
    with pytest.raises(UsageError, match="cannot be drawn"):
        ident.rate_by_gallery(found, [9])


def test_a_patient_in_two_splits_and_features_of_another_store_are_refused():
    x, records = cohort()
    crossed = records.copy()
    crossed.loc[0, "split"] = "test"
    with pytest.raises(DBetaError, match="more than one split"):
        ident.identify(x, crossed)
    with pytest.raises(UsageError, match="a row per row of the store"):
        ident.identify(x[:-1], records)
    x[3, 2] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        ident.identify(x, records)


def test_records_join_the_paper_s_cell(tmp_path):
    x, records = cohort()
    found = ident.identify(x, records, resamples=20)
    result = ident.to_result(found, encoder="toy", data="ptb-xl", store_fingerprint="f",
                             variant="whole encoder", wall_time_s=1.0)  # fmt: skip
    assert load(result.save(tmp_path)) == result
    assert (result.value, result.n, result.patients) == (found.top1.value, 30, 30)
    other = ident.to_result(found, "eer", encoder="toy", data="ptb-xl", store_fingerprint="f")
    assert other.value == found.eer.value and other.file_name != result.file_name
    cells = paper_numbers.cells(paper_numbers.published())
    frame = pd.DataFrame([{**vars(result), "domain": result.domain}])
    joined = paper_numbers.join(cells, frame)
    met = joined[joined["our_encoder"] == "toy"]
    assert met["task"].tolist() == ["identification"] and "65.4" in met["printed"].iloc[0]
    frozen = paper_numbers.join(cells, frame.assign(variant="frozen features"))
    assert not (frozen["our_encoder"] == "toy").any()  # another question than the printed one
