"""Changes of an ECG that leave its findings as they are: what contrastive learning calls views.

Each is a function of ECGs `[B, 12, T]` in mV (leads in the order of `LEADS`) and returns as many;
what is drawn comes from a `torch.Generator` on the ECG's device, every record by itself. A lead of
zeros is absent and stays zeros. Noise is drawn for I, II and V1-V6; the other four limb leads get
what these two imply, so Einthoven's and Goldberger's equations hold after as they did before. There
a noise is up to twice as large as in I and II.

The kinds of noise are those with which detectors have long been tested (Friesen et al., IEEE Trans.
Biomed. Eng. 37, 1990); their sizes here are our choice, for a QRS of about 1 mV. neurokit2's
`signal_distort` makes such noise for one NumPy signal at a time, not for a batch on its device.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from dbeta_lib.config import ObjectiveConfig
from dbeta_lib.config_checks import MAINS
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, SUBSETS, derive_limb_leads, lead_index, subset_mask

MEASURED = tuple(lead_index(name) for name in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))


def varied(
    ecg: Tensor, objective: ObjectiveConfig, sampling_rate: float, generator: Generator
) -> Tensor:
    """The ECG with the noises and the scaling that a config asks for, in this fixed order.

    Shift and leads are the batch's affair: a shift costs less before the ECG is a tensor, and
    leads that are dropped are told to the model by its mask.
    """
    if objective.amplitude_scaling > 1:
        largest = objective.amplitude_scaling
        ecg = scale_amplitude(ecg, generator, 1 / largest, largest)
    for change, largest in (
        (baseline_wander, objective.baseline_wander),
        (mains_hum, objective.mains_hum),
        (muscle_noise, objective.muscle_noise),
    ):
        if largest > 0:
            ecg = change(ecg, sampling_rate, generator, largest)
    return ecg


def baseline_wander(
    ecg: Tensor, sampling_rate: float, generator: Generator, largest: float = 0.1
) -> Tensor:
    """Breathing: a sine of 0.15..0.3 Hz, of 0..`largest` mV in each measured lead.

    The frequency and the phase are the record's, the sizes the leads' own.
    """
    hertz = _uniform(ecg, (len(ecg), 1, 1), 0.15, 0.3, generator)
    return _with_noise(ecg, _sines(ecg, hertz, sampling_rate, largest, generator))


def mains_hum(
    ecg: Tensor, sampling_rate: float, generator: Generator, largest: float = 0.05,
    hertz: float = MAINS,
) -> Tensor:  # fmt: skip
    """Mains of 50 or 60 Hz, of 0..`largest` mV in each measured lead.

    A rate of up to twice the frequency cannot show it, and the ECG is returned as it is: at 100 Hz
    this changes nothing.
    """
    if sampling_rate <= 2 * hertz:
        return ecg
    steady = ecg.new_full((len(ecg), 1, 1), hertz)
    return _with_noise(ecg, _sines(ecg, steady, sampling_rate, largest, generator))


def muscle_noise(
    ecg: Tensor, sampling_rate: float, generator: Generator, largest: float = 0.03
) -> Tensor:
    """White noise above 20 Hz, its standard deviation 0..`largest` mV in each measured lead.

    Most of a muscle's power lies there; below, the noise could pass for a wave of the ECG.
    """
    length = ecg.shape[2]
    noise = torch.randn(
        len(ecg), len(MEASURED), length, generator=generator, device=ecg.device, dtype=ecg.dtype
    )
    spectrum = torch.fft.rfft(noise)
    hertz = torch.fft.rfftfreq(length, 1 / sampling_rate, device=ecg.device)
    noise = torch.fft.irfft(spectrum * (hertz > 20), n=length)
    size = _uniform(ecg, (len(ecg), len(MEASURED), 1), 0.0, largest, generator)
    return _with_noise(ecg, size * noise / noise.std(-1, keepdim=True).clamp(min=1e-6))


def scale_amplitude(
    ecg: Tensor, generator: Generator, low: float = 0.8, high: float = 1.25
) -> Tensor:
    """The record times a factor of `low`..`high`, evenly on a logarithmic scale, for all leads.

    Of the same body at another distance of the electrodes; much more would make or hide a
    hypertrophy, which is a matter of mV. Raises UsageError unless 0 < low <= high.
    """
    if not 0 < low <= high:
        raise UsageError(f"an amplitude cannot be scaled by {low}..{high}; give 0 < low <= high")
    return ecg * _uniform(ecg, (len(ecg), 1, 1), math.log(low), math.log(high), generator).exp()


def time_shift(ecg: Tensor, generator: Generator, largest: float = 0.5) -> Tensor:
    """Rolled in time by up to `largest` (0..1) of the record either way, all leads alike.

    What leaves at one end comes in at the other, as in D-BETA's batches: the rhythm has one seam.
    """
    length = ecg.shape[2]
    farthest = round(largest * length)
    shift = torch.randint(
        -farthest, farthest + 1, (len(ecg), 1, 1), generator=generator, device=ecg.device
    )
    places = (torch.arange(length, device=ecg.device) - shift) % length
    return ecg.gather(2, places.expand(-1, ecg.shape[1], -1))


def drop_leads(ecg: Tensor, generator: Generator, probability: float = 0.5) -> Tensor:
    """Random lead masking: each lead zeroed by itself (Oh et al., CHIL 2022, probability 0.5).

    At least one of the leads that are there stays; the published code can drop them all.
    """
    present = _present(ecg)
    chance = _uniform(ecg, ecg.shape[:2], 0.0, 1.0, generator)
    kept = chance >= probability
    last = torch.where(present, chance, -1.0).argmax(dim=1, keepdim=True)
    has_none = ~(kept & present).any(dim=1, keepdim=True)
    kept = kept | (has_none & (torch.arange(ecg.shape[1], device=ecg.device) == last))
    return ecg * kept.unsqueeze(-1)


def keep_subset(
    ecg: Tensor, generator: Generator, subsets: Sequence[str] = tuple(SUBSETS)
) -> Tensor:
    """Only the leads of one of `subsets` (keys of `SUBSETS`, or "I,II,V2"), drawn by record.

    The lead sets of PhysioNet / CinC 2021 and a single lead by default: what a device with fewer
    electrodes gives. A record that has no lead of the set keeps all of its own.
    """
    masks = torch.from_numpy(np.stack([subset_mask(name) for name in subsets])).to(ecg.device)
    pick = torch.randint(len(masks), (len(ecg),), generator=generator, device=ecg.device)
    kept, present = masks[pick], _present(ecg)
    kept = kept | ~(kept & present).any(dim=1, keepdim=True)
    return ecg * kept.unsqueeze(-1)


def _sines(
    ecg: Tensor, hertz: Tensor, sampling_rate: float, largest: float, generator: Generator
) -> Tensor:
    """Sines `[B, 8, T]` of frequencies `[B, 1, 1]`, one phase per record, a size per lead."""
    seconds = torch.arange(ecg.shape[2], device=ecg.device, dtype=ecg.dtype) / sampling_rate
    phase = _uniform(ecg, (len(ecg), 1, 1), 0.0, 2 * math.pi, generator)
    size = _uniform(ecg, (len(ecg), len(MEASURED), 1), 0.0, largest, generator)
    return size * torch.sin(2 * math.pi * hertz * seconds + phase)


def _with_noise(ecg: Tensor, noise: Tensor) -> Tensor:
    """Noise `[B, 8, T]` of the measured leads added to all twelve, where a lead is present."""
    if ecg.shape[1] != len(LEADS):
        raise UsageError(f"{ecg.shape[1]} leads given; noise is made for the {len(LEADS)} leads")
    unit = np.zeros((len(LEADS), len(MEASURED)))
    unit[list(MEASURED), range(len(MEASURED))] = 1
    implied = torch.from_numpy(derive_limb_leads(unit)).to(ecg)  # [12, 8]
    return ecg + (implied @ noise) * _present(ecg).unsqueeze(-1)


def _present(ecg: Tensor) -> Tensor:
    """bool `[B, 12]`: leads that are not zeros throughout."""
    return (ecg != 0).any(dim=-1)


def _uniform(
    ecg: Tensor, shape: Sequence[int], low: float, high: float, generator: Generator
) -> Tensor:
    drawn = torch.rand(tuple(shape), generator=generator, device=ecg.device, dtype=ecg.dtype)
    return low + (high - low) * drawn
