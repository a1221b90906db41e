"""A training step of the official network, from a checkout of it: `fast_path.py --official`.

Nothing of it is part of this kit (its licence is CC BY-NC 4.0). It was written for transformers 4;
what it asks of that and transformers 5 no longer has is set in its place here: an attention mask of
four dimensions, and names that it imports and does not use. It needs `pip install omegaconf`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel, modeling_utils

UNUSED = (
    "apply_chunking_to_forward", "find_pruneable_heads_and_indices", "prune_linear_layer",
)  # fmt: skip


def official_step(
    folder: Path, architecture: dict[str, Any], size: int, tokens: int
) -> Callable[[], Any]:
    """A step of its losses on random records as its loop would take it, with torch's AdamW.

    folder: the checkout. architecture: of its text encoder, drawn here instead of downloaded.
    """
    model, losses = _made(folder, architecture)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    sample = _sample(size, tokens, architecture["vocab_size"])

    def step() -> None:
        loss, _ = losses.forward(model, sample)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _made(folder: Path, architecture: dict[str, Any]) -> tuple[nn.Module, Any]:
    for name in UNUSED:
        if not hasattr(modeling_utils, name):
            setattr(modeling_utils, name, getattr(transformers.pytorch_utils, name, None))
    T5EncoderModel.get_extended_attention_mask = _extended
    T5EncoderModel.from_pretrained = lambda name: T5EncoderModel(T5Config(**architecture))
    sys.path.insert(0, str(folder))
    from losses.loss import DBETALoss
    from models.dbeta import DBETA

    config = json.loads((folder / "configs" / "config.json").read_text(encoding="utf-8"))["model"]
    model = DBETA(SimpleNamespace(**config)).train()
    return model, DBETALoss(SimpleNamespace(norm_pix_loss=True))


def _extended(model: nn.Module, mask: Tensor, shape: Any) -> Tensor:
    """`[B, L]` of 1 and 0 -> what is added to scores, `[B, 1, 1, L]`."""
    return (1 - mask[:, None, None].float()) * torch.finfo(torch.float32).min


def _sample(size: int, tokens: int, words: int) -> dict[str, Any]:
    text = torch.randint(2, words, (size, tokens))
    return {
        "net_input": {
            "ecg": torch.randn(size, 12, 5000), "text": text, "ecg_padding_mask": None,
            "text_attention_mask": torch.ones_like(text),
        },
        "mlm_labels": torch.where(torch.rand(size, tokens) < 0.25, text, -100),
        "is_aligned": torch.randint(0, 2, (size,)),
    }  # fmt: skip
