"""Retrieval: sorted by similarity, on which place does the right partner stand?"""

import numpy as np

from dbeta_lib.errors import UsageError


def own_places(similarity: np.ndarray) -> np.ndarray:
    """Place of each row's own column in a similarity matrix `[n, n]`: float `[n]`, 1 = first.

    Row i and column i belong together. Ties share their places: (number greater) + (number equal
    + 1) / 2, so that a constant similarity gives every row the middle place (n + 1) / 2.

    >>> own_places(np.array([[0.9, 0.1], [0.5, 0.5]]))
    array([1. , 1.5])
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise UsageError(f"a similarity of shape {similarity.shape} pairs nothing; give [n, n]")
    if not np.isfinite(similarity).all():
        raise UsageError("similarities hold NaN or infinity; look at the encoder")
    own = np.diag(similarity)[:, None]
    return (similarity > own).sum(axis=1) + ((similarity == own).sum(axis=1) + 1) / 2
