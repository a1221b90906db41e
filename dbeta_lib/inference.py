"""What a trained D-BETA is asked: features of ECGs and texts, and hidden pieces filled in.

Input is checked, and nothing depends on the mode that the model is in.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dbeta_lib.config import ECGConfig
from dbeta_lib.data.reports import normalise_report
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


class Inference:
    """Methods of a `DBeta` without gradients and dropout, whatever mode it is in."""

    @inference_mode
    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """Features `[B, D]` of ECGs `[B, 12, T]` in mV at `sampling_rate`, all tokens seen.

        lead_mask `[B, 12]` or `[12]` bool, True = present. Raises UsageError for another shape,
        NaN, or amplitudes that are no mV.
        """
        ecg, lead_mask = check_ecg(ecg, lead_mask, self.config.ecg, self.device)
        return self.ecg_stream(self.present(ecg, lead_mask), None)[2]

    @inference_mode
    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features `[B, D]` of token ids `[B, L]` with their mask (1 = a token)."""
        device = self.device
        return self.text_stream(input_ids.to(device), attention_mask.to(device))[2]

    @inference_mode
    def encode_text(self, texts: list[str], batch_size: int = 64) -> Tensor:
        """Features `[B, D]` of texts, in their order; lower-cased and folded as reports are.

        Without an attention mask (released switches) only texts of equal length share a batch,
        since padding would change the result.
        """
        if isinstance(texts, str):
            raise UsageError("encode_text takes a list of texts; write [text] for a single one")
        limit = self.config.text.max_text_tokens
        tokenizer = self.tokenizer
        ids = [
            tokenizer(normalise_report(t), truncation=True, max_length=limit)["input_ids"]
            for t in texts
        ]
        out = torch.zeros(len(ids), self.config.fusion.fusion_width, device=self.device)
        equal_only = not self.config.text.text_attention_mask
        for group in length_groups([len(i) for i in ids], batch_size, equal_only):
            padded = tokenizer.pad({"input_ids": [ids[i] for i in group]}, return_tensors="pt")
            out[group] = self.encode_tokens(padded["input_ids"], padded["attention_mask"])
        return out

    @inference_mode
    def reconstruct(
        self,
        ecg: Tensor,
        lead_mask: Tensor | None = None,
        noise: Tensor | None = None,
        texts: list[str] | None = None,
        mask_ratio: float | None = None,
    ) -> dict[str, Tensor]:
        """Hide tokens of ECGs `[B, 12, T]` and fill them in.

        Returns prediction and target `[B, 12, tokens * patch]` in the target's scaled units, and
        mask `[B, tokens]` (1 = hidden). texts are the reports that the fusion may read; an empty
        text each when absent. mask_ratio: share of the tokens hidden, 0..1, the config's when
        absent. Raises UsageError for one that hides no token or all of them.
        """
        ecg, lead_mask = check_ecg(ecg, lead_mask, self.config.ecg, self.device)
        tokens = self.config.ecg.tokens_of(ecg.shape[-1])
        if noise is None:
            noise = torch.rand(len(ecg), tokens)
        kept = None if mask_ratio is None else round(tokens * (1 - mask_ratio))
        if kept is not None and not 1 <= kept < tokens:
            raise UsageError(
                f"a mask ratio of {mask_ratio:g} hides {tokens - kept} of {tokens} tokens; "
                "at least one must be hidden and one kept"
            )
        texts = [normalise_report(t) for t in texts or [""] * len(ecg)]
        read = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt",
                              max_length=self.config.text.max_text_tokens)  # fmt: skip
        read, noise = read.to(self.device), noise.to(self.device)
        seen = self.present(ecg, lead_mask)
        streams = self.streams(seen, read["input_ids"], read["attention_mask"], noise, kept)
        prediction = self.samples(streams)
        target = self.mem_target(ecg, seen)
        return {
            "prediction": prediction.transpose(1, 2).flatten(2),
            "target": target.transpose(1, 2).flatten(2),
            "mask": streams.mask,
        }
