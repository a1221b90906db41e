"""What a pass through the network returns: everything by name, nothing by position."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Streams:
    """Every intermediate of one pass; B records, n = 1 + kept ECG tokens, L text tokens."""

    text_hidden: Tensor  # [B, L, text width]
    text_projected: Tensor  # [B, L, H]
    text_pooled: Tensor  # [B, H], feature of the ETS loss and of zero-shot
    ecg_hidden: Tensor  # [B, n, E], class token first
    ecg_projected: Tensor  # [B, n, H]
    ecg_pooled: Tensor  # [B, H]
    text_states: list[Tensor]  # fusion_layers + 1 of [B, L, H]
    ecg_states: list[Tensor]  # as many of [B, n, H], the last [B, 1, H] for the class token alone
    text_fused: Tensor  # [B, H]
    ecg_fused: Tensor  # [B, H]
    mask: Tensor | None  # [B, tokens], 1 = removed
    restore: Tensor | None  # [B, tokens]

    @property
    def fused(self) -> Tensor:
        """[text, ECG] `[B, 2H]`, what the matching head reads."""
        return torch.cat([self.text_fused, self.ecg_fused], dim=1)


@dataclass
class Output:
    """What `forward` returns, all by name."""

    losses: dict[str, Tensor]  # mlm, mem, etm, ets, total
    features: dict[str, Tensor]  # ecg [B, D], text [B, D], fused [B, 2D]
    # mlm [masked words, V], etm [B, 2], ets [B, B], mem [B, removed, channels, patch]: of the
    # removed tokens in the order of the noise, `ecg_noise.argsort(1)[:, kept:]`
    logits: dict[str, Tensor]
