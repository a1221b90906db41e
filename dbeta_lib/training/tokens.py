"""Every distinct report tokenised once, kept as flat arrays and padded by the batch."""

import hashlib
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from dbeta_lib.errors import DBetaError
from dbeta_lib.progress import tqdm

_CHUNK = 4096  # texts handed to the tokenizer at once


class ReportTokens:
    """Token ids of distinct reports.

    report_ids: int64 `[R]`, ascending. flat: int32, ids of all reports one after the other;
    offsets: int64 `[R + 1]`, where each begins. pad_id: what fills the rest of a row.
    """

    def __init__(
        self,
        report_ids: np.ndarray,
        texts: list[str],
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        progress: bool = False,
    ):
        ids = []
        starts = range(0, len(texts), _CHUNK)
        for i in tqdm(starts, desc="tokenising", disable=not progress or len(starts) < 4):
            part = tokenizer(texts[i : i + _CHUNK], truncation=True, max_length=max_tokens)
            ids += part["input_ids"]
        self.report_ids = np.asarray(report_ids, dtype=np.int64)
        lengths = np.fromiter((len(row) for row in ids), np.int64, len(ids))
        if len(lengths) and lengths.min() == 0:
            empty = self.report_ids[lengths.argmin()]
            raise DBetaError(
                f"the tokenizer makes no token of report {empty}; give one that ends texts with "
                "an end token, as T5's does"
            )
        self.offsets = np.concatenate([[0], np.cumsum(lengths)])
        self.flat = np.fromiter((i for row in ids for i in row), np.int32, self.offsets[-1])
        self.pad_id = tokenizer.pad_token_id or 0

    @classmethod
    def of_store(
        cls, store: Any, wanted: np.ndarray, tokenizer: Any, max_tokens: int, progress: bool = False
    ) -> "ReportTokens":
        """The reports of a store whose ids are in `wanted`."""
        ids, first = np.unique(store.records["report_id"].to_numpy(), return_index=True)
        kept = np.isin(ids, wanted) & (ids >= 0)
        texts = store.records["text"].iloc[first[kept]].tolist()
        return cls(ids[kept], texts, tokenizer, max_tokens, progress)

    def lengths(self, report_ids: np.ndarray) -> np.ndarray:
        """int64 `[n]` tokens of each report, end token included."""
        rows = self._rows(report_ids)
        return self.offsets[rows + 1] - self.offsets[rows]

    def padded(self, report_ids: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """input_ids int64 `[n, width]` and is_token bool `[n, width]`, padded on the right."""
        rows, column = self._rows(report_ids), np.arange(width)
        start = self.offsets[rows][:, None]
        is_token = column < self.offsets[rows + 1][:, None] - start
        places = np.minimum(start + column, len(self.flat) - 1)
        return np.where(is_token, self.flat[places], self.pad_id).astype(np.int64), is_token

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any report or with the tokenizer."""
        digest = hashlib.sha256()
        for array in (self.report_ids, self.offsets, self.flat):
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def _rows(self, report_ids: np.ndarray) -> np.ndarray:
        rows = np.searchsorted(self.report_ids, report_ids).clip(max=len(self.report_ids) - 1)
        if (self.report_ids[rows] != report_ids).any():
            missing = np.setdiff1d(report_ids, self.report_ids)[0]
            raise DBetaError(f"report {missing} was not tokenised; it is not among the store's")
        return rows
