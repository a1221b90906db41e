"""What a run's model makes of texts: its text encoder in numbers, and the pairs of opposites.

The pairs of `evaluation.text_pairs` are asked three times: of the text encoder before the training
(as it was drawn or published), of the same after it (both the mean of its hidden states), and of
the model's text features, which are what is held against an ECG.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import nn

from dbeta_lib.evaluation.text_pairs import load_pairs, pair_cosines, states_of

READINGS = ("before", "after", "features")  # columns of cosines


@dataclass
class Texts:
    """facts: of the text encoder, plain values. pairs: `load_pairs` with columns of `READINGS`."""

    facts: dict[str, Any]
    pairs: pd.DataFrame


def texts_before(model: nn.Module) -> Texts | None:
    """What is to be asked before any training; None of a model that reads no text."""
    encoder = getattr(model, "text_encoder", None)
    if encoder is None or not hasattr(model, "encode_text"):
        return None
    config = encoder.model.config
    facts = {
        "architecture": config.model_type, "width": encoder.width, "frozen": encoder.frozen,
        "layers": getattr(config, "num_hidden_layers", None),
        "vocabulary": encoder.vocabulary,
        "parameters": sum(p.numel() for p in encoder.parameters()),
    }  # fmt: skip
    pairs = load_pairs()
    return Texts(facts, pairs.assign(before=pair_cosines(pairs, states_of(model))))


def texts_after(texts: Texts | None, model: nn.Module) -> Texts | None:
    """The same with what is to be asked after the training."""
    if texts is None:
        return None
    after = pair_cosines(texts.pairs, states_of(model))
    features = pair_cosines(texts.pairs, model.encode_text)
    return Texts(texts.facts, texts.pairs.assign(after=after, features=features))
