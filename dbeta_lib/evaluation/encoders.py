"""What an encoder must offer to be evaluated, and how any ECG is brought to its input.

Anything with `encode_ecg(ecg, lead_mask=None) -> [B, D]`, `sampling_rate` and `leads` goes through
every evaluation: a model trained here, the released checkpoint, or a plain `nn.Module` wrapped by
`as_encoder`. Stores keep 12 leads in the order of `LEADS` at one rate; `to_encoder_input` resamples
and reorders by the encoder's own statement of both, so that no evaluation does it again.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from dbeta_lib.data.resampling import polyphase
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoder_settings import settings_of
from dbeta_lib.files import sha256_bytes
from dbeta_lib.leads import LEADS, canonical, order_to
from dbeta_lib.training import checkpoints


@runtime_checkable
class Encoder(Protocol):
    """An encoder of ECGs; with `encode_text` and `similarity` it is open to zero-shot too."""

    sampling_rate: int  # Hz
    leads: Sequence[str]  # the rows it expects, in its order

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """ecg float mV `[B, L, T]`, lead_mask bool `[B, L]` (True = present) -> `[B, D]`."""


class PlainEncoder(nn.Module):
    """A callable `[B, L, T] -> [B, D]` with the facts that an evaluation needs beside it.

    Leads that are masked reach the callable as zeros, as in pre-training.
    """

    def __init__(
        self, module: Callable[[Tensor], Tensor], sampling_rate: int, leads: Sequence[str]
    ) -> None:
        super().__init__()
        self.module = module
        self.sampling_rate = int(sampling_rate)
        self.leads = tuple(canonical(name) for name in leads)

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """ecg float mV `[B, L, T]`, lead_mask bool `[B, L]` -> `[B, D]`."""
        if lead_mask is not None:
            ecg = ecg * lead_mask[..., None]
        return self.module(ecg)


def as_encoder(
    module: Callable[[Tensor], Tensor], sampling_rate: int, leads: Sequence[str] = LEADS
) -> PlainEncoder:
    """Wrap a plain callable (mV at `sampling_rate` Hz, rows as in `leads`) as an Encoder.

    >>> encoder = as_encoder(lambda ecg: ecg.std(dim=-1), sampling_rate=100)
    >>> encoder.encode_ecg(torch.zeros(2, 12, 1000)).shape
    torch.Size([2, 12])

    Raises UsageError for an unknown lead name, a lead given twice, or a rate that is not positive.
    """
    encoder = PlainEncoder(module, sampling_rate, leads)
    if encoder.sampling_rate <= 0:
        raise UsageError(f"a sampling rate of {sampling_rate} Hz is not possible; give it in Hz")
    if len(set(encoder.leads)) != len(encoder.leads):
        raise UsageError(f"a lead is named twice in {', '.join(encoder.leads)}")
    return encoder


def check_encoder(encoder: object) -> None:
    """Raise UsageError, with the remedy, for an object that is no Encoder."""
    absent = [n for n in ("encode_ecg", "sampling_rate", "leads") if not hasattr(encoder, n)]
    if absent:
        raise UsageError(
            f"{type(encoder).__name__} has no {', no '.join(absent)}; "
            "wrap it: as_encoder(module, sampling_rate, leads)"
        )
    if not len(encoder.leads):
        raise UsageError(f"{type(encoder).__name__} names no leads, so no ECG can be given to it")


def to_encoder_input(
    ecg: np.ndarray, lead_mask: np.ndarray, sampling_rate: int, encoder: Encoder
) -> tuple[Tensor, Tensor]:
    """Store rows to an encoder's input: masked leads zero, resampled, reordered.

    ecg float mV `[n, 12, T]` in the order of `LEADS`, lead_mask bool `[n, 12]` -> tensors
    `[n, L, T']` and `[n, L]` at the encoder's rate and in its leads.
    """
    if ecg.ndim != 3 or ecg.shape[1] != len(LEADS) or lead_mask.shape != ecg.shape[:2]:
        raise UsageError(
            f"ECGs {ecg.shape} and lead mask {lead_mask.shape} must be [n, 12, T] and [n, 12]"
        )
    order = order_to(encoder.leads)
    mask = lead_mask[:, order]
    rows = np.where(mask[..., None], ecg[:, order], np.float32(0))
    rows = np.ascontiguousarray(polyphase(rows, sampling_rate, int(encoder.sampling_rate)))
    return torch.from_numpy(rows), torch.from_numpy(np.ascontiguousarray(mask))


def device_of(encoder: object) -> torch.device:
    """Where the encoder computes: its `device`, else that of its first parameter, else the CPU."""
    if hasattr(encoder, "device"):
        return torch.device(encoder.device)
    tensors = encoder.parameters() if isinstance(encoder, nn.Module) else ()
    return next((p.device for p in tensors), torch.device("cpu"))


def to_training_device(model: nn.Module) -> nn.Module:
    """The model itself, moved to where a training run computes: a GPU where there is one.

    The choice is Accelerate's, as in training, so that ACCELERATE_USE_CPU=1 keeps both on the CPU.
    """
    from accelerate import PartialState  # here: what needs no model shall not wait for it

    return model.to(PartialState().device)


@contextmanager
def evaluating(encoder: object) -> Iterator[None]:
    """Eval mode (no dropout, fixed statistics) and no gradients; the mode before comes back."""
    modules = list(encoder.modules()) if isinstance(encoder, nn.Module) else []
    before = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


def weights_hash(encoder: object) -> str:
    """SHA-256 of all weights and buffers by name; an encoder without any may give its own string.

    Empty for an object that has neither: its output cannot be recognised again.
    """
    if not isinstance(encoder, nn.Module):
        return str(getattr(encoder, "weights_hash", ""))
    return checkpoints.weights_hash(encoder) if encoder.state_dict() else ""


def identity(encoder: object) -> str:
    """SHA-256 of everything that decides an encoder's output: weights, config, code, layers, input.

    The code counts because the same weights behind an edited `forward` are another encoder; layers
    without weights and settings do, because no weight tells a mean from a maximum.
    Empty where the weights have no hash.
    """
    weights = weights_hash(encoder)
    if not weights:
        return ""
    config = getattr(encoder, "config", None)
    parts = [
        weights,
        config.to_json() if hasattr(config, "to_json") else "",
        ",".join(encoder.leads),
        str(encoder.sampling_rate),
        *_code_of(encoder),
        *settings_of(encoder),
    ]
    return sha256_bytes("\n".join(map(str, parts)).encode())


def _code_of(encoder: object) -> list[str]:
    """Hashes of the files (or, in a notebook, classes) behind the encoder's own modules."""
    modules = encoder.modules() if isinstance(encoder, nn.Module) else [encoder]
    classes = {type(module) for module in modules}
    own = [c for c in classes if c.__module__.split(".")[0] not in ("torch", "transformers")]
    return sorted({_source(c) for c in own})


def _source(cls: type) -> str:
    module = sys.modules.get(cls.__module__)
    try:
        text = inspect.getsource(module if hasattr(module, "__file__") else cls)
    except (OSError, TypeError):  # typed into a plain interpreter: no source to be had
        text = cls.__qualname__
    return sha256_bytes(text.encode())
