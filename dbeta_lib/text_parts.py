"""Texts of a batch read in parts of like length, so that short ones carry no long one's padding.

What one text gives does not depend on the padding behind it, so the parts give what the whole batch
gives; only dropout is drawn otherwise. ECGs have one length and stay together.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class TextParts:
    """Takes tensors of a batch apart, and puts those of its parts together again.

    order: int64 `[B]`, rows from the shortest text to the longest; widths: tokens of the longest
    text in each of as many parts of it, host numbers so that no device is asked. Without either
    the batch is its only part and nothing is copied.
    """

    def __init__(self, order: Tensor | None = None, widths: Sequence[int] = ()):
        self.widths = widths if order is not None else ()
        if self.widths:
            self.rows = order.tensor_split(len(widths))
            self.back = order.argsort()

    def texts(self, whole: Tensor) -> list[Tensor]:
        """`[B, L, ...]` -> `[b, width, ...]` of each part."""
        if not self.widths:
            return [whole]
        return [whole[:, :w].index_select(0, rows) for rows, w in zip(self.rows, self.widths)]

    def records(self, whole: Tensor) -> list[Tensor]:
        """`[B, ...]` -> `[b, ...]` of each part."""
        return [whole.index_select(0, rows) for rows in self.rows] if self.widths else [whole]

    def together(self, parts: Sequence[Tensor]) -> Tensor:
        """`[b, ...]` of each part -> `[B, ...]` in the batch's order; the inverse of `records`."""
        return torch.cat(list(parts)).index_select(0, self.back) if self.widths else parts[0]

    def together_padded(self, parts: Sequence[Tensor], length: int) -> Tensor:
        """`[b, width, H]` of each part -> `[B, length, H]`, zeros where nothing was read."""
        if not self.widths:
            return parts[0]
        return self.together([F.pad(part, (0, 0, 0, length - part.shape[1])) for part in parts])


WHOLE = TextParts()
