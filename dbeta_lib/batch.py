"""What `DBeta.forward` takes: everything about a batch by name, nothing by position."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor


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

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        """A copy with every tensor on `device`."""
        moved = {
            f.name: value.to(device, non_blocking=non_blocking) if value is not None else None
            for f in dataclasses.fields(self)
            for value in [getattr(self, f.name)]
        }
        return Batch(**moved)

    def __len__(self) -> int:
        return self.ecg.shape[0]
