"""Rivals of N3S: their candidates agree with slow loops, and hubs vanish where they should."""

import numpy as np
import pytest

from dbeta_lib import n3s
from dbeta_lib.embedders import TfidfEmbedder, embed_reports
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.mined_tables import hub_corrected, middle_band

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


def cosines(texts, dim=16):
    rows = embed_reports(texts, TfidfEmbedder(dim)).astype(np.float64)
    return rows @ rows.T


def test_the_middle_band_holds_evenly_spaced_ranks_of_likeness():
    texts = make_reports(41)
    table = middle_band(texts, TfidfEmbedder(16), k=4, low=0.2, high=0.6)
    for i, row in enumerate(np.round(cosines(texts), 9)):
        others = sorted((c, j) for j, c in enumerate(row) if j != i)
        # 40 others; ranks 8 to 24 in four parts, whose middles are 10, 14, 18 and 22
        assert list(table.table[i]) == [others[rank][1] for rank in (10, 14, 18, 22)]


def test_hub_corrected_takes_the_farthest_once_a_hub_has_given_up_its_advantage():
    texts = make_reports(40)
    table = hub_corrected(texts, TfidfEmbedder(16), k=6, neighbours=5)
    cosine = cosines(texts)
    mean = [np.mean(sorted(np.delete(row, i))[:5]) for i, row in enumerate(cosine)]
    for i, row in enumerate(cosine):
        scores = sorted((round(row[j] - mean[j], 9), j) for j in range(40) if j != i)
        assert list(table.table[i]) == [j for _, j in scores[:6]]


def test_hubs_are_smaller_with_the_correction():
    texts = make_reports(300)
    plain = n3s.NegativeTable.build(texts, TfidfEmbedder(16), k=16)
    better = hub_corrected(texts, TfidfEmbedder(16), k=16, neighbours=75)
    plain, better = n3s.hub_counts(plain), n3s.hub_counts(better)
    assert better.max() < plain.max() and better.std() < 0.9 * plain.std()


@pytest.mark.parametrize("mine", [middle_band, hub_corrected])
def test_a_mined_table_is_never_its_own_and_is_not_taken_for_n3s(mine, tmp_path):
    texts, ids = make_reports(20), np.arange(20) * 3
    table = mine(texts, TfidfEmbedder(8), k=64, report_ids=ids)
    assert table.k <= 19 and (ids[table.table] != ids[:, None]).all()
    assert all(len(set(row)) == table.k for row in table.table.tolist())
    table.save(tmp_path / "mined.npz")
    assert n3s.NegativeTable.open(tmp_path / "mined.npz").describe() == table.describe()
    plain = n3s.NegativeTable.build(texts, TfidfEmbedder(8), k=table.k, report_ids=ids)
    assert table.describe() != plain.describe()
    assert table.embedder["mined"]["by"] == mine.__name__


def test_wrong_use_is_named():
    texts = make_reports(5)
    for low, high in ((0.5, 0.5), (-0.1, 0.5), (0.5, 1.1)):
        with pytest.raises(UsageError, match="low before high"):
            middle_band(texts, TfidfEmbedder(8), low=low, high=high)
    with pytest.raises(UsageError, match="k=0 candidates"):
        hub_corrected(texts, TfidfEmbedder(8), k=0)
    with pytest.raises(DBetaError, match="one distinct report"):
        middle_band(texts[:1], TfidfEmbedder(8))
    with pytest.raises(DBetaError, match="ascending"):
        middle_band(texts, TfidfEmbedder(8), report_ids=np.arange(5)[::-1])
