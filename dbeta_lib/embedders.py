"""Reports as unit vectors, for N3S: TF-IDF + SVD from the reports themselves, or a text encoder.

The paper embeds reports with Flan-T5-small and the mean over tokens. The released code also
averages over padding, so that a report's vector depends on its neighbours in the batch
(`pooling="mean_with_pads"`); `masked_mean` leaves padding out. `TfidfEmbedder` needs no weights:
it is what runs where no encoder is at hand, and results made with it say so.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from dbeta_lib.encoders.text import load_text_model, load_tokenizer
from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.progress import tqdm

POOLINGS = ("masked_mean", "mean_with_pads")


class Embedder(Protocol):
    """What `NegativeTable.build` takes."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 `[R, d]`, any length of rows."""

    def describe(self) -> dict[str, Any]:
        """Plain values; the table is made again when one of them changes."""


def embed_reports(texts: Sequence[str], embedder: Embedder) -> np.ndarray:
    """float32 `[R, d]` unit rows, one per text; a text without any known word stays all zeros."""
    rows = np.asarray(embedder.embed(list(texts)), dtype=np.float32)
    if not np.isfinite(rows).all():
        raise DBetaError(
            f"{embedder.describe()} gave NaN or infinity; run it in float32 or bfloat16"
        )
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.where(length > 1e-12, length, 1.0)).astype(np.float32)


class TfidfEmbedder:
    """TF-IDF of words and pairs of neighbouring words, reduced by a truncated SVD.

    dim: length of the vectors, less where the reports do not span as much. The signs of the
    singular vectors and the seed are fixed: the same reports give the same vectors.

    >>> TfidfEmbedder(dim=2).embed(["sinus rhythm", "atrial fibrillation", "sinus"]).shape
    (3, 2)
    """

    def __init__(self, dim: int = 128, seed: int = 0):
        self.dim = dim
        self.seed = seed

    def describe(self) -> dict[str, Any]:
        return {"kind": "tfidf", "dim": self.dim, "ngrams": [1, 2], "seed": self.seed}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 `[R, <= dim]`. Raises DBetaError when no report holds a word."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True
        )
        try:
            counts = vectorizer.fit_transform(texts)
        except ValueError as error:
            raise DBetaError(f"no report holds a word ({error}); check the reports") from error
        if min(counts.shape) <= self.dim:
            return counts.toarray().astype(np.float32)
        svd = TruncatedSVD(self.dim, algorithm="randomized", n_iter=7, random_state=self.seed)
        return svd.fit_transform(counts).astype(np.float32)


class HubEmbedder:
    """A Hugging Face text encoder, by hub name or local folder; T5's encoder half for that family.

    pooling: "masked_mean" or "mean_with_pads" (the released code's, in padded batches of 128 in
    the order given). Loaded at the first use: from disk, else from the hub.
    """

    def __init__(
        self,
        name_or_folder: str,
        pooling: str = "masked_mean",
        batch_size: int = 128,
        max_tokens: int = 256,
        device: str = "cpu",
        progress: bool = True,
    ):
        if pooling not in POOLINGS:
            raise UsageError(f"there is no pooling '{pooling}'{nearest(pooling, POOLINGS)}")
        self.name = str(name_or_folder)
        self.pooling = pooling
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.device = device
        self.progress = progress
        self._loaded = None

    @classmethod
    def of(cls, tokenizer: Any, encoder: torch.nn.Module, **options: Any) -> "HubEmbedder":
        """The same of an encoder at hand, on its device; `options` as above."""
        device = str(next(encoder.parameters()).device)
        made = cls("", device=device, **options)
        made._loaded = tokenizer, encoder
        return made

    def describe(self) -> dict[str, Any]:
        """Named by its weights, so that a folder with other weights makes the table again."""
        digest = hashlib.sha256()
        for name, value in sorted(self._load()[1].state_dict().items()):
            digest.update(name.encode())
            digest.update(value.contiguous().view(torch.uint8).numpy(force=True).tobytes())
        described = {"kind": "hub", "weights": digest.hexdigest()[:16], "pooling": self.pooling}
        if self.pooling == "mean_with_pads":
            described["batch_size"] = self.batch_size
        return {**described, "max_tokens": self.max_tokens}

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 `[R, d]`; reports of like length share a batch unless pads are averaged too."""
        tokenizer, model = self._load()
        ids = tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
        order = np.arange(len(ids))
        if self.pooling == "masked_mean":
            order = np.argsort([len(row) for row in ids], kind="stable")
        out = None
        starts = range(0, len(ids), self.batch_size)
        for start in tqdm(starts, desc="embedding reports", disable=not self.progress):
            rows = order[start : start + self.batch_size]
            inputs = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            inputs = {k: inputs[k].to(self.device) for k in ("input_ids", "attention_mask")}
            states = model(**inputs).last_hidden_state.float()
            weight = inputs["attention_mask"][..., None].float()
            if self.pooling == "mean_with_pads":
                weight = torch.ones_like(weight)
            pooled = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
            out = np.empty((len(ids), pooled.shape[1]), np.float32) if out is None else out
            out[rows] = pooled.cpu().numpy()
        return out

    def _load(self):
        """(tokenizer, encoder in eval mode). Raises DBetaError naming the alternatives."""
        if self._loaded is None:
            try:
                model = load_text_model(self.name)
                tokenizer = load_tokenizer(self.name)
            except DBetaError as error:
                raise type(error)(
                    f"{error}; for the table of negatives the TF-IDF embedder needs no encoder"
                ) from error
            self._loaded = tokenizer, model.eval().to(self.device)
        return self._loaded
