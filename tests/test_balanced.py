"""Balanced negatives: the law has the right marginals, agrees with slow loops, and is reused."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dbeta_lib import DBetaConfig, n3s, sinkhorn
from dbeta_lib.balanced import BalancedNegatives, counted_reports, ensure_balanced
from dbeta_lib.embedders import TfidfEmbedder, embed_reports
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.negative_laws import (
    best_guess,
    negative_law,
    negative_shares,
    negative_statistics,
)
from dbeta_lib.seeds import rng
from dbeta_lib.sinkhorn import balanced_law
from dbeta_lib.training.start import negatives_for

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ptb-xl"
FINDINGS = (
    *("sinus rhythm", "atrial fibrillation", "left bundle branch block", "anterior infarct"),
    *("normal ecg", "st depression", "long qt", "paced rhythm", "left axis deviation"),
)


def make_reports(n, seed=0):
    """Distinct machine-like reports of one to four findings and a number."""
    draw = np.random.default_rng(seed)
    return [
        ". ".join([*draw.choice(FINDINGS, draw.integers(1, 5), replace=False), f"rate {i}."])
        for i in range(n)
    ]


def make_counts(n, seed=0):
    """Few frequent reports and many rare ones."""
    return 1 + np.random.default_rng(seed).geometric(0.3, n) ** 2


def make_vectors(n, seed=0, d=6):
    rows = np.random.default_rng(seed).normal(size=(n, d)) + np.eye(d)[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_law(n=40, tau=0.1, seed=0, **solve):
    return BalancedNegatives.build(
        make_reports(n, seed), make_counts(n, seed), TfidfEmbedder(16), tau, **solve
    )


def make_store(folder, texts, ids, split="train"):
    records = pd.DataFrame({"report_id": ids, "text": texts, "split": split})
    rows = lambda name: np.flatnonzero((records["split"] == name).to_numpy())  # noqa: E731
    return SimpleNamespace(path=Path(folder) / "store", records=records, rows=rows)


def plan_by_alternating(vectors, shares, tau, rounds=5000):
    """The textbook's Sinkhorn iteration, rows and columns in turn, with two vectors in float64."""
    rows = vectors.astype(np.float64)
    kernel = np.exp(-(rows @ rows.T) / tau)
    np.fill_diagonal(kernel, 0)
    right = np.ones(len(shares))
    for _ in range(rounds):
        left = shares / (kernel @ right)
        right = shares / (kernel.T @ left)
    return left[:, None] * kernel * right


@pytest.mark.parametrize("dense", [0, 40])
def test_both_marginals_are_the_reports_own_shares_by_a_slow_loop(dense):
    law, counts = make_law(tolerance=1e-4, dense=dense, group=9), make_counts(40)
    shares = counts / counts.sum()
    chances = law.law(law.report_ids)
    for j, share in enumerate(shares):
        arrives = 0.0
        for i, other in enumerate(shares):
            arrives += other * chances[i, j]
        assert arrives == pytest.approx(share, rel=1e-4)
        assert sum(chances[j]) == pytest.approx(1, abs=1e-12) and chances[j, j] == 0
    assert best_guess(law, counts) == pytest.approx(0.5, abs=5e-5)


@pytest.mark.parametrize("tau", [0.02, 0.1, 1.0])
def test_the_plan_agrees_with_an_independent_sinkhorn(tau):
    vectors, counts = make_vectors(50), make_counts(50)
    shares = counts / counts.sum()
    law = BalancedNegatives(
        vectors,
        balanced_law(vectors, shares, tau, tolerance=2e-5)[0],
        *(np.arange(50), counts, tau, {}, ""),
    )
    plan = shares[:, None] * law.law(np.arange(50))
    assert np.allclose(plan, plan_by_alternating(vectors, shares, tau), rtol=2e-3, atol=1e-9)


@given(st.integers(3, 60), st.sampled_from([0.1, 0.3, 3.0]), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_marginals_hold_whatever_the_shares_and_the_kernel(total, tau, seed):
    draw = np.random.default_rng(seed)
    vectors, counts = make_vectors(total, seed), draw.integers(1, 9, total) ** 3
    counts[0] = min(counts[0], counts[1:].sum() // 2 + 1)
    if counts.max() > 0.48 * counts.sum():
        return
    shares = counts / counts.sum()
    log_weights, _ = balanced_law(vectors, shares, tau, tolerance=1e-3)
    law = BalancedNegatives(vectors, log_weights, np.arange(total), counts, tau, {}, "")
    assert np.isfinite(log_weights).all()
    assert np.allclose(shares @ law.law(np.arange(total)), shares, rtol=2e-3)


@pytest.mark.parametrize("tau", [0.01, 0.02])
def test_marginals_hold_at_the_sharpest_kernels(tau):
    vectors, counts = make_vectors(200, d=16), make_counts(200)
    shares = counts / counts.sum()
    log_weights, _ = balanced_law(vectors, shares, tau)
    law = BalancedNegatives(vectors, log_weights, np.arange(200), counts, tau, {}, "")
    assert np.allclose(shares @ law.law(np.arange(200)), shares, rtol=1e-3)


def test_opposite_reports_and_reports_without_a_word_overflow_nowhere():
    # Two opposite clusters: at tau = 0.02 the kernel spans exp(50) to exp(-50).
    vectors = np.array([[1, 0], [-1, 0], [1, 0], [-1, 0], [0, 0], [0, 1]], np.float32)
    shares = np.array([0.25, 0.15, 0.2, 0.15, 0.15, 0.1])
    log_weights, _ = balanced_law(vectors, shares, 0.02)
    law = BalancedNegatives(vectors, log_weights, np.arange(6), shares * 20, 0.02, {}, "")
    assert np.allclose(shares @ law.law(np.arange(6)), shares, rtol=1e-3)


def test_a_report_with_nearly_half_of_the_records_still_has_a_law():
    vectors, shares = make_vectors(30), np.full(30, 0.51 / 29)
    shares[4] = 0.49
    law, _ = balanced_law(vectors, shares, 0.1, tolerance=1e-3)
    law = BalancedNegatives(vectors, law, np.arange(30), np.ones(30), 0.1, {}, "")
    assert np.allclose(shares @ law.law(np.arange(30)), shares, rtol=2e-3)


@pytest.mark.parametrize("group", [1, 17, 512])
def test_recomputing_the_cosines_in_every_round_gives_the_same_law(group):
    vectors, counts = make_vectors(150), make_counts(150)
    shares = counts / counts.sum()
    few = {"tolerance": 2e-5, "rounds": 40}  # plain rounds would need 118
    kept, _ = balanced_law(vectors, shares, **few)
    again, _ = balanced_law(vectors, shares, group=group, dense=0, **few)
    assert np.allclose(kept, again, atol=1e-4)


def test_above_the_limit_no_more_than_a_tile_of_cosines_is_held(monkeypatch):
    made, product = [], torch.Tensor.__matmul__

    def watched(left, right):
        out = product(left, right)
        made.append(tuple(out.shape))
        return out

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    monkeypatch.setattr(sinkhorn, "_TILE", {"cpu": 10 * 30})
    half = [(10, 10 * min(3, 9 - i)) for first in range(9) for i in range(first, 9, 3)]
    shares = np.full(90, 1 / 90)
    balanced_law(make_vectors(90), shares, group=10, dense=90)
    assert made == half  # each pair once, and in the first round only
    made.clear()
    monkeypatch.setattr(sinkhorn, "_from_a_sample", lambda *given: given[-1])
    balanced_law(make_vectors(90), shares, group=10, dense=89)
    assert len(made) > 2 * len(half) and made == half * (len(made) // len(half))


def test_a_sample_gives_first_weights_that_save_rounds_and_change_no_law(monkeypatch):
    vectors, counts = make_vectors(1200, d=20), make_counts(1200)
    shares = counts / counts.sum()
    monkeypatch.setattr(sinkhorn, "SAMPLE", 400)
    told = {500: [], 1200: []}
    whole, again = (
        balanced_law(
            vectors,
            shares,
            0.1,
            2e-5,
            dense=dense,
            each_round=lambda *r, d=dense: told[d].append(r),
        )[0]
        for dense in (1200, 500)
    )
    assert np.allclose(whole, again, atol=1e-4) and len(told[500]) < len(told[1200])
    assert [number for number, _ in told[500]] == list(range(1, len(told[500]) + 1))
    assert told[500][-1][1] <= 2e-5 < told[500][-2][1]


def test_a_sample_without_a_law_is_done_without(monkeypatch):
    shares = np.full(40, 0.51 / 39)
    shares[7] = 0.49
    monkeypatch.setattr(sinkhorn, "SAMPLE", 2)  # 7 for certain, and one other
    whole, _ = balanced_law(make_vectors(40), shares, 0.1, 1e-3)
    again, _ = balanced_law(make_vectors(40), shares, 0.1, 1e-3, dense=0)
    assert np.allclose(whole, again, atol=2e-3)


@given(st.integers(2, 80), st.integers(0, 2**31), st.data())
@settings(max_examples=40, deadline=None)
def test_chances_to_be_sampled_follow_the_shares_up_to_certainty(total, seed, data):
    shares = np.random.default_rng(seed).random(total) ** 4 + 1e-9
    shares /= shares.sum()
    size = data.draw(st.integers(1, max(1, total // 2)))
    chances = sinkhorn._inclusion(shares, size)
    assert chances.sum() == pytest.approx(size) and (chances <= 1).all()
    free = chances < 1
    ratio = chances[free] / shares[free]
    assert np.allclose(ratio, ratio[:1]) and (shares[~free] >= shares[free].max() - 1e-12).all()


@pytest.mark.parametrize("group", [1, 7, 512])
def test_a_draw_by_groups_is_the_draw_from_the_whole_law(group):
    law, n = make_law(50, group=group), 4000
    own = np.random.default_rng(0).integers(0, 50, n)
    level = np.random.default_rng(1).random(n)
    whole = np.cumsum(law.law(own), axis=1)
    expected = (whole <= level[:, None] * whole[:, -1:]).sum(axis=1)
    drawn = law.sample(own, np.random.default_rng(1))
    # An end of a stretch may lie a rounding away: then the next report is drawn.
    assert (drawn == expected).mean() > 0.999
    assert np.allclose(law.masses.sum(axis=1), law.counts / law.counts.sum(), rtol=1e-4)


def test_a_draw_looks_at_the_reports_of_one_group_only(monkeypatch):
    law, seen = make_law(60, group=8), []
    chances = BalancedNegatives._chances
    monkeypatch.setattr(
        BalancedNegatives, "_chances",
        lambda self, rows, *part: seen.append((len(rows), *part)) or chances(self, rows, *part),
    )  # fmt: skip
    law.sample(law.report_ids.repeat(20), rng(0))
    assert sum(rows for rows, _, _ in seen) == 1200
    assert all(start % 8 == 0 and stop == min(start + 8, 60) for _, start, stop in seen)


def test_masses_are_found_again_where_a_file_has_none():
    law = make_law(40, group=16)
    known = law.vectors, law.log_weights, law.report_ids, law.counts, law.tau, {}, ""
    again = BalancedNegatives(*known, group=16)
    assert np.allclose(again.masses, law.masses, rtol=1e-5)
    chances = law.law(law.report_ids)
    plan = (law.counts / law.counts.sum())[:, None] * chances
    slow = [[row[start : start + 16].sum() for start in (0, 16, 32)] for row in plan]
    assert np.allclose(law.masses, slow, rtol=2e-4, atol=1e-12)


def test_draws_follow_the_law_and_are_seeded():
    counts = np.array([9, 1, 3, 5, 1, 2, 8, 4, 1, 1, 6, 2])
    law = BalancedNegatives.build(make_reports(12), counts, TfidfEmbedder(16), 0.2)
    for own in (0, 7):
        drawn = law.sample(np.full(20_000, own), rng(3, "draws", own))
        chances = law.law(np.array([own]))[0]
        assert (drawn != own).all()
        others = np.arange(12) != own
        seen = np.bincount(drawn, minlength=12)[others]
        assert stats.chisquare(seen, 20_000 * chances[others]).pvalue > 0.01
    wanted = np.arange(12).repeat(5)
    assert np.array_equal(law.sample(wanted, rng(0, "a")), law.sample(wanted, rng(0, "a")))
    assert not np.array_equal(law.sample(wanted, rng(0, "a")), law.sample(wanted, rng(1, "a")))


class Highest:
    """A generator whose uniform numbers are as near to 1, or to 0, as they can be."""

    def __init__(self, value):
        self.value = value

    def random(self, size):
        return np.full(size, self.value)


@pytest.mark.parametrize("value", [0.0, np.nextafter(1, 0)])
def test_no_draw_is_the_own_report_at_either_end_of_the_uniform_numbers(value):
    law = make_law(20, tau=0.02)
    assert (law.sample(law.report_ids, Highest(value)) != law.report_ids).all()


def test_ids_need_not_be_without_gaps_and_unknown_ones_are_refused():
    texts, ids = make_reports(9), np.array([2, 3, 5, 8, 13, 21, 34, 55, 89])
    law = BalancedNegatives.build(texts, np.ones(9), TfidfEmbedder(8), report_ids=ids)
    drawn = law.sample(ids.repeat(100), rng(0))
    assert np.isin(drawn, ids).all() and len(set(drawn)) == 9
    for missing in (4, 90):
        with pytest.raises(DBetaError, match=f"report {missing} has no negatives"):
            law.sample(np.array([2, missing]), rng(0))


@pytest.mark.parametrize(
    ("counts", "options", "kind", "sentence"),
    [
        ([6, 1, 2, 1], {}, DBetaError, r"60.0% of all records.*negatives='n3s' or 'random'"),
        ([3, 1, 1, 1], {}, DBetaError, r"50.0% of all records"),
        ([1, 1, 1, 1], {"tau": 0.001}, UsageError, "tau=0.001"),
        ([1, 1, 1, 1], {"tau": -1}, UsageError, "tau=-1"),
        ([1, 1, 1, 1], {"tau": float("nan")}, UsageError, "tau=nan"),
        ([1, 1, 1, 1], {"tolerance": 0}, UsageError, "tolerance=0"),
        ([9, 2, 7, 3], {"rounds": 1}, DBetaError, r"after 1 rounds.*raise tau=0.1"),
        ([1, 1, 0, 1], {}, DBetaError, "shares of reports must be above 0"),
        ([1, 1, 1], {}, DBetaError, "one text and one count for each"),
    ],
)
def test_what_has_no_law_is_refused_in_one_sentence(counts, options, kind, sentence):
    texts = ["sinus rhythm", "normal ecg", "sinus tachycardia", "paced rhythm"]
    with pytest.raises(kind, match=sentence):
        BalancedNegatives.build(texts, counts, TfidfEmbedder(), **options)


def test_two_reports_have_a_law_only_if_they_are_equally_frequent():
    law = BalancedNegatives.build(["sinus", "paced"], [4, 4], TfidfEmbedder())
    assert np.allclose(law.law(np.array([0, 1])), [[0, 1], [1, 0]])
    with pytest.raises(DBetaError, match="below one half"):
        BalancedNegatives.build(["sinus", "paced"], [4, 3], TfidfEmbedder())
    with pytest.raises(DBetaError, match="one distinct report"):
        BalancedNegatives.build(["sinus"], [4], TfidfEmbedder())


def test_a_saved_law_is_the_same_in_bytes_and_in_content(tmp_path):
    law = make_law(20)
    law.save(tmp_path / "a.npz")
    again = BalancedNegatives.open(tmp_path / "a.npz")
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert again.describe() == law.describe() and np.array_equal(again.counts, law.counts)
    assert np.array_equal(again.law(np.arange(20)), law.law(np.arange(20)))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(DBetaError, match=r"a.npz holds no balanced negatives"):
        BalancedNegatives.open(tmp_path / "a.npz")
    n3s.NegativeTable.build(make_reports(9), TfidfEmbedder(8), k=3).save(tmp_path / "n3s.npz")
    with pytest.raises(DBetaError, match=r"n3s.npz holds no balanced negatives"):
        BalancedNegatives.open(tmp_path / "n3s.npz")
    with pytest.raises(DBetaError, match="build the balanced negatives first"):
        BalancedNegatives.open(tmp_path / "none.npz")


def test_a_law_is_reused_until_reports_counts_embedder_or_tau_change(tmp_path):
    texts, said = make_reports(30), []
    order = np.concatenate([np.arange(30), np.random.default_rng(0).integers(0, 30, 60)])
    store = make_store(tmp_path, [texts[i] for i in order], order)

    def ensure(store, embedder=None, tau=0.1):
        return ensure_balanced(store, embedder=embedder, tau=tau, say=said.append)

    first = ensure(store)
    path = tmp_path / "store.balanced.train.npz"
    written = path.stat().st_mtime_ns
    again = ensure(store)
    assert np.array_equal(first.log_weights, again.log_weights)
    assert path.stat().st_mtime_ns == written
    ensure(store, TfidfEmbedder(6))
    ensure(store, TfidfEmbedder(6), 0.3)
    assert ensure(store, tau=None).tau == 0.3  # any that is there
    order[-1] = (order[-1] + 1) % 30  # the same texts, one of them once more
    changed = make_store(tmp_path, [texts[i] for i in order], order)
    assert ensure(changed, TfidfEmbedder(6), 0.3).counts.sum() == 90
    path.write_bytes(b"broken")
    ensure(changed, TfidfEmbedder(6), 0.3)
    words = ("there was none", "reused", "embedder has changed", "tau was 0.1", "reused")
    words += ("counts have changed", "holds no balanced")
    assert len(said) == 7 and all(w in s for w, s in zip(words, said, strict=True))


def test_other_rows_have_a_law_and_a_file_of_their_own_and_rows_count_as_often_as_they_stand(
    tmp_path,
):
    texts = make_reports(12)
    store = make_store(tmp_path, [*texts, ""], [*range(12), -1])
    whole = ensure_balanced(store, say=str)
    rows = np.array([0, 0, 1, 2, 3, 4, 12])
    ids, found, counts = counted_reports(store, rows)
    assert list(ids) == [0, 1, 2, 3, 4] and list(counts) == [2, 1, 1, 1, 1] and found == texts[:5]
    part = ensure_balanced(store, rows=rows, say=str)
    assert list(part.report_ids) == [0, 1, 2, 3, 4] and list(part.counts) == [2, 1, 1, 1, 1]
    assert len(list(tmp_path.glob("store.balanced.*.npz"))) == 2
    said = []
    again = ensure_balanced(store, rows=store.rows("train")[::-1], say=said.append)
    assert again.describe() == whole.describe() and "reused" in said[0]


def test_pre_training_takes_the_balanced_law_that_its_config_names(tmp_path):
    texts, said = make_reports(30), []
    store = make_store(tmp_path, texts, np.arange(30))
    config = DBetaConfig.preset("mini", negatives="balanced", negatives_tau=0.2)
    found = negatives_for(config, store, say=said.append)
    assert isinstance(found, BalancedNegatives) and found.tau == 0.2
    assert negatives_for(config, store, rows=np.arange(20), say=str).report_ids.max() == 19
    assert DBetaConfig.from_json(config.to_json()) == config
    old = config.to_dict()
    del old["objective"]["negatives_tau"]
    assert DBetaConfig.from_dict(old).objective.negatives_tau == 0.1


def kinds(n=25):
    """Each way of drawing, with the counts and vectors of its reports."""
    counts, texts = make_counts(n), make_reports(n)
    records = np.arange(n).repeat(counts)
    ways = {
        "random": n3s.RandomNegatives(records),
        "another": n3s.RandomNegatives(records, exclude_equal=True),
        "n3s": n3s.NegativeTable.build(texts, TfidfEmbedder(16), k=4),
        "balanced": make_law(n),
    }
    return ways, counts, embed_reports(texts, TfidfEmbedder(16))


@pytest.mark.parametrize("kind", ["random", "another", "n3s", "balanced"])
def test_laws_and_statistics_agree_with_draws_and_with_loops(kind):
    ways, counts, vectors = kinds()
    way, shares = ways[kind], counts / counts.sum()
    law = negative_law(way, np.arange(25))
    drawn = way.sample(np.full(40_000, 3), rng(0, "law"))
    seen = np.bincount(drawn, minlength=25) / 40_000
    assert np.allclose(seen, law[3], atol=0.012) and law.sum(axis=1) == pytest.approx(1)
    expected = dict.fromkeys(("mean_cosine", "above", "same_text", "effective"), 0.0)
    for i in range(25):
        entropy = 0.0
        for j in range(25):
            cosine = 1.0 if i == j else float(vectors[i].astype(float) @ vectors[j])
            pair = shares[i] * law[i, j]
            expected["mean_cosine"] += pair * cosine
            expected["above"] += pair * (cosine > 0.3)
            expected["same_text"] += pair * (i == j)
            entropy -= law[i, j] * np.log(law[i, j]) if law[i, j] > 0 else 0
        expected["effective"] += shares[i] * np.exp(entropy)
    expected["best_guess"] = np.maximum(shares, shares @ law).sum() / 2
    expected["ever"] = sum(share > 0 for share in shares @ law)
    taken, expected["half"] = 0.0, 0
    for share in sorted(shares @ law, reverse=True):
        if taken < 0.5 - 1e-12:
            taken, expected["half"] = taken + share, expected["half"] + 1
    found = negative_statistics(way, counts, vectors, above=0.3)
    assert found == pytest.approx(expected, abs=1e-6)
    assert best_guess(way, counts) == pytest.approx(expected["best_guess"])
    assert negative_shares(way, counts) == pytest.approx(shares @ law)


def test_statistics_refuse_what_they_cannot_know():
    ways, counts, vectors = kinds()
    with pytest.raises(DBetaError, match="24 counts for 25 reports"):
        negative_statistics(ways["n3s"], counts[:-1], vectors)
    with pytest.raises(UsageError, match="the law of SimpleNamespace is not known"):
        negative_law(SimpleNamespace(), np.arange(2))


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/ptb-xl is not there")
def test_on_real_reports_a_negative_is_unlike_and_cannot_be_told_from_the_text():
    frame = pd.read_csv(SHARED / "ptbxl_database.csv", keep_default_na=False)
    frame = frame[frame["strat_fold"] <= 8]
    texts, own, counts = np.unique(frame["report"], return_inverse=True, return_counts=True)
    assert (len(frame), len(texts)) == (1400, 895)
    vectors = embed_reports(texts.tolist(), TfidfEmbedder())
    found = {
        "random": n3s.RandomNegatives(own),
        "n3s": n3s.NegativeTable.build(texts.tolist(), TfidfEmbedder()),
        "balanced": BalancedNegatives.build(texts.tolist(), counts, TfidfEmbedder()),
    }
    found = {k: negative_statistics(way, counts, vectors) for k, way in found.items()}
    frame = pd.DataFrame(found)
    expected = pd.DataFrame(
        {"random": [0.093, 0.0473, 0.5, 406], "n3s": [-0.014, 0, 0.763, 64],
         "balanced": [0.022, 0.00014, 0.5, 345]},
        index=["mean_cosine", "above", "best_guess", "effective"],
    )  # fmt: skip
    off = (frame.loc[expected.index] - expected).abs()
    assert (off.max(axis=1) < [0.002, 5e-4, 0.002, 2]).all(), frame
    assert found["balanced"]["above"] < 2e-4 and found["balanced"]["same_text"] == 0
    assert abs(found["balanced"]["best_guess"] - 0.5) < 5e-5
