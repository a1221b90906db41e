"""Helpers of the inference methods: input checks, evaluation mode, batches by length."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dbeta_lib.config import ECGConfig
from dbeta_lib.errors import UsageError

# No ECG's largest deflection is this small or this large in mV; volts and microvolts are.
SMALLEST_MV, LARGEST_MV = 0.02, 100.0


def inference_mode(method: Callable) -> Callable:
    """Run a model's method without gradients and in evaluation mode, then restore the mode."""

    @functools.wraps(method)
    def run(model, *args, **kwargs):
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                return method(model, *args, **kwargs)
        finally:
            model.train(was_training)

    return run


def check_ecg(
    ecg: Tensor | np.ndarray, lead_mask, config: ECGConfig, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """ECG float32 `[B, channels, T]` and lead mask `[B, channels]` on the device.

    Raises UsageError when the shape is not the config's, a value is not finite, or the largest
    amplitude shows that the unit is not mV.
    """
    ecg = torch.as_tensor(ecg, dtype=torch.float32, device=device)
    fits = ecg.ndim == 3 and ecg.shape[1] == config.channels
    if config.fixed_length:
        fits = fits and ecg.shape[2] == config.samples
    if not fits or config.tokens_of(ecg.shape[2]) < 1:
        raise UsageError(
            f"ECG of shape {tuple(ecg.shape)} given; this model takes [B, {config.channels}, "
            f"{config.samples}]: {config.samples / config.sampling_rate:g} s at "
            f"{config.sampling_rate} Hz; resample and cut or pad it"
        )
    if ecg.numel() == 0:
        return ecg, None
    largest = ecg.abs().max().item()
    if not np.isfinite(largest) or torch.isnan(ecg).any():
        raise UsageError(
            "the ECG holds NaN or infinite values; interpolate short gaps, or set the "
            "lead to zeros and lead_mask to False"
        )
    if config.channels == 12 and 0 < largest < SMALLEST_MV:
        raise UsageError(
            f"the largest value is {largest:.2g}: these look like volts; multiply by 1000 for mV"
        )
    if config.channels == 12 and largest > LARGEST_MV:
        raise UsageError(
            f"the largest value is {largest:.4g}: these look like microvolts or raw ADC units; "
            "divide by 1000 (or by the gain) for mV"
        )
    if lead_mask is not None:
        lead_mask = torch.as_tensor(lead_mask, dtype=torch.bool, device=device)
        lead_mask = lead_mask.expand(ecg.shape[0], -1)
        if lead_mask.shape != ecg.shape[:2]:
            raise UsageError(f"lead_mask of shape {tuple(lead_mask.shape)} does not fit the ECG")
    return ecg, lead_mask


def length_groups(
    lengths: Sequence[int], batch_size: int, equal_only: bool = False
) -> list[list[int]]:
    """Indices in groups of at most `batch_size`, shortest first; of one length if `equal_only`."""
    groups: list[list[int]] = []
    for index in np.argsort(lengths, kind="stable").tolist():
        last = groups[-1] if groups else None
        full = last is None or len(last) == batch_size
        if full or (equal_only and lengths[last[0]] != lengths[index]):
            groups.append([index])
        else:
            last.append(index)
    return groups
