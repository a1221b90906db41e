"""Asking by cosine: lengths of vectors no longer count, features are the model's own."""

import numpy as np
import pytest
import torch

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.cosine import ByCosine
from dbeta_lib.evaluation.encoders import as_encoder
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.zero_shot import similarities, zero_shot

PROMPTS = {"slow": "a", "tall": "bb", "rare": "ccc", "quick": "dddd"}


def test_similarity_is_the_cosine_and_lengths_do_not_count(toy):
    rng = np.random.default_rng(0)
    ecg, texts = rng.normal(size=(5, 6)).astype(np.float32), ["a", "bb", "ccc"]
    words = toy.encode_text(texts).numpy()
    norms = np.linalg.norm(ecg, axis=1)[:, None] * np.linalg.norm(words, axis=1)
    wanted = ecg @ words.T / norms
    found = similarities(ByCosine(toy), ecg, texts)
    assert np.allclose(found, wanted, atol=1e-6)
    longer = ecg * np.array([[1], [10], [0.1], [3], [7]], dtype=np.float32)
    assert np.allclose(similarities(ByCosine(toy), longer, texts), wanted, atol=1e-6)
    assert not np.allclose(similarities(toy, longer, texts), similarities(toy, ecg, texts))
    assert similarities(ByCosine(toy), 0 * ecg, texts).tolist() == np.zeros((5, 3)).tolist()


def test_it_goes_through_zero_shot_with_the_model_s_own_features(toy, store):
    asked = ByCosine(toy)
    assert (extract(asked, store) == extract(toy, store)).all()
    result = zero_shot(asked, store, "shape", PROMPTS, resamples=10, progress=False)
    assert np.abs(result.scores).max() <= 1 + 1e-9
    assert asked.device == torch.device("cpu")


def test_a_model_without_a_text_side_is_refused():
    with pytest.raises(UsageError, match="no encode_text"):
        ByCosine(as_encoder(lambda ecg: ecg.mean(-1), 100))
