"""The benchmark of negatives checks what it measures: a wrong table and a wrong law are found."""

import numpy as np
import pytest

from dbeta_lib.balanced import BalancedNegatives
from dbeta_lib.n3s import NegativeTable
from dbeta_lib.neighbours import farthest
from dbeta_lib.sinkhorn import balanced_law

TEXTS, DIM = 400, 12


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("negatives_at_scale")


@pytest.fixture(scope="module")
def vectors(benchmark):
    return benchmark.make_vectors(TEXTS, DIM)


def test_vectors_are_units_in_clusters_with_exact_copies(vectors):
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert len(np.unique(vectors, axis=0)) == round(0.95 * TEXTS)
    cosine = vectors @ vectors.T
    assert 0.05 < cosine.mean() < 0.5 and np.quantile(cosine, 0.99) > 0.6


def test_a_table_with_one_wrong_entry_is_found(benchmark, vectors):
    table = farthest(vectors, benchmark.K)
    made = NegativeTable(table, np.arange(TEXTS), {}, "")
    counts = benchmark.make_counts(TEXTS)
    assert benchmark.farthest_agree(made, vectors, counts) == 1
    made.table[:, 5] = made.table[:, 6]
    assert benchmark.farthest_agree(made, vectors, counts) == 0


def test_a_law_with_one_wrong_weight_is_found(benchmark, vectors):
    counts = benchmark.make_counts(TEXTS)
    shares = counts / counts.sum()
    weights, masses = balanced_law(vectors, shares)
    known = np.arange(TEXTS), counts, 0.1, {}, ""
    made = BalancedNegatives(vectors, weights, *known, masses)
    assert benchmark.shares_off_by(made, vectors, counts) < 1e-4
    p = counts / counts.sum()
    slow = np.abs(p @ made.law(np.arange(TEXTS)) / p - 1).max()
    assert benchmark.shares_off_by(made, vectors, counts) <= slow + 1e-6
    wrong = BalancedNegatives(vectors, weights + 0.1 * np.arange(TEXTS) / TEXTS, *known)
    assert benchmark.shares_off_by(wrong, vectors, counts) > 0.01
