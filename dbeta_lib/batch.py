"""What `DBeta.forward` takes: everything about a batch by name, nothing by position."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dbeta_lib.packing import Packing

IGNORED = -100  # label of a position that is not to be predicted


@dataclass
class Batch:
    """ECG-text pairs; B records, T samples, L text tokens.

    The ECG comes whole: leads that are missing or were dropped for this step are False in
    `lead_mask`, and the model zeroes them, so the undropped signal stays at hand as a target.
    """

    ecg: Tensor  # [B, channels, T] float, mV
    lead_mask: Tensor  # [B, channels] bool, True = present and not dropped
    input_ids: Tensor  # [B, L] int64, of the text that the row was given
    attention_mask: Tensor  # [B, L] 1 = a token, 0 = padding
    mlm_labels: Tensor  # [B, L] int64, -100 = not to be predicted
    is_aligned: Tensor  # [B] float, 1 = the record's own text, 0 = replaced
    report_id: Tensor  # [B] int64, the record's own report
    text_report_id: Tensor | None = None  # [B] int64, the report given; None: as report_id
    ecg_noise: Tensor | None = None  # [B, tokens] uniform; its order decides which are removed
    mlm_places: Tensor | None = None  # [n] int64, places in the flattened labels to be predicted
    # [] float, what the MLM loss sums over the n words are divided by where this is a part of a
    # batch: the whole batch's words over the number of its parts. None: n.
    mlm_words: Tensor | None = None
    # [N] int64, places of the tokens in the flattened texts, where these are read without padding.
    text_places: Tensor | None = None
    text_asked: Tensor | None = None  # [M] int64, those of them that a head reads

    def packed(self, pack: bool = True) -> "Batch":
        """A copy whose texts are read without padding (see `Packing`), or with it."""
        if not pack:
            return dataclasses.replace(self, text_places=None, text_asked=None)
        asked = self.mlm_labels != IGNORED
        asked[:, 0] = True  # of the matching head
        used = self.attention_mask.bool() | asked
        places, asked = (found.flatten().nonzero().squeeze(1) for found in (used, asked))
        return dataclasses.replace(self, text_places=places, text_asked=asked)

    def packing(self) -> Packing | None:
        """How the texts are packed; None where they are read with padding."""
        if self.text_places is None:
            return None
        return Packing(self.text_places, *self.input_ids.shape, self.text_asked)

    def places(self) -> Tensor:
        """`mlm_places`, found in the labels where they are not given (a GPU then is waited for)."""
        if self.mlm_places is not None:
            return self.mlm_places
        return (self.mlm_labels.flatten() != IGNORED).nonzero().squeeze(1)

    def split(self, parts: int) -> "list[Batch]":
        """The batch in `parts` of equal size, whose mean loss is the batch's (ETS apart).

        ETS pairs the records of a part only. Part i has the records i, i + parts, ..., so that
        several processes that split their slices pair the records that one process would. Raises
        ValueError when the parts cannot be equal.
        """
        if parts == 1:
            return [self]
        if len(self) % parts:
            raise ValueError(f"{len(self)} records are no multiple of {parts} parts")
        words = self.mlm_words
        if words is None:
            words = torch.tensor(float(len(self.places())))
        rows = dataclasses.replace(self.packed(False), mlm_places=None, mlm_words=None)
        found = [rows._each(lambda t, i=i: t[i::parts].contiguous()) for i in range(parts)]
        return [
            dataclasses.replace(
                part.packed(self.text_places is not None),
                mlm_places=part.places(),
                mlm_words=words / parts,
            )
            for part in found
        ]

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        """A copy with every tensor on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """A copy in page-locked memory, from where a GPU takes it while others compute."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        changed = {name: change(tensor) for name, tensor in self._tensors().items()}
        return dataclasses.replace(self, **changed)

    def _tensors(self) -> dict[str, Tensor]:
        """Those that are given, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def __len__(self) -> int:
        return self.ecg.shape[0]
