"""What a run begins with: a seeded model, its tokenizer, and the negatives its config names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from dbeta_lib.balanced import ensure_balanced
from dbeta_lib.config import DBetaConfig
from dbeta_lib.encoders.text import layout_of, load_tokenizer, train_tokenizer
from dbeta_lib.mined_tables import RIVALS, ensure_mined
from dbeta_lib.model import DBeta
from dbeta_lib.n3s import (
    Embedder,
    HubEmbedder,
    Negatives,
    RandomNegatives,
    TfidfEmbedder,
    distinct_reports,
    ensure_table,
)
from dbeta_lib.seeds import int_seed


def store_tokenizer(config: DBetaConfig, store: Any) -> PreTrainedTokenizerBase:
    """The named text model's tokenizer, or one trained on the store's training reports."""
    text = config.text
    if text.text_model:
        return load_tokenizer(text.text_model)
    return train_tokenizer(distinct_reports(store)[1], text.text_vocabulary, layout_of(text))


def build_model(
    config: DBetaConfig,
    store: Any,
    seed: int = 0,
    tokenizer: PreTrainedTokenizerBase | None = None,
    build: Callable[..., nn.Module] = DBeta,
) -> nn.Module:
    """A model with its tokenizer, its new weights drawn from `seed` (torch's own state is kept).

    build: what makes it of config and tokenizer; a comparison model's is in `COMPARISONS`.
    """
    tokenizer = tokenizer or store_tokenizer(config, store)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int_seed(seed, "weights"))
        return build(config, tokenizer)


def negatives_for(
    config: DBetaConfig,
    store: Any,
    rows: np.ndarray | None = None,
    embedder: Embedder | str | None = None,
    path: Path | str | None = None,
    say: Callable[[str], None] = print,
) -> Negatives:
    """The source of wrong texts that `config.objective.negatives` names.

    "n3s" and "released": the table of the training split beside the store, whatever embedder and k
    it was made with; made with TF-IDF where there is none. An embedder is "tfidf", a text encoder's
    name or folder (pooled as `n3s_pooling` says) or an object, and makes a table of another anew.
    "random": the reports of `rows` (the training split). "balanced": these too, in a law beside the
    store at the config's `negatives_tau`, made and reused in the same way. "middle_band" and
    "hub_corrected": the tables of `mined_tables`, beside the store too.
    """
    if config.objective.negatives == "random":
        rows = store.rows("train") if rows is None else rows
        reports = store.records["report_id"].to_numpy()[rows]
        return RandomNegatives(reports[reports >= 0])
    pooling = config.objective.n3s_pooling
    if isinstance(embedder, str):
        embedder = TfidfEmbedder() if embedder == "tfidf" else HubEmbedder(embedder, pooling)
    if config.objective.negatives in RIVALS:
        return ensure_mined(store, config.objective.negatives, path, embedder, say)
    if config.objective.negatives == "balanced":
        tau = config.objective.negatives_tau
        table = ensure_balanced(store, path, embedder, tau, rows, say=say)
    else:
        table = ensure_table(store, path, embedder, say=say)
    used = table.embedder.get("pooling", pooling)  # TF-IDF pools nothing
    if used != pooling:
        say(f"negatives: embedded with {used}, though n3s_pooling of this config is {pooling}")
    return table
