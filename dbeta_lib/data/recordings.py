"""Recordings that go through a step together: of one length and rate, in one array.

A call of numpy costs microseconds before it touches a number; on one recording of ten seconds the
hundred calls of cleaning and checking would take longer than their arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Recordings:
    """n recordings, or windows of such.

    samples: `[n, 12, T]`, float64 mV (NaN = no valid sample) or int16 uV, rows in the order of
    LEADS. lead_mask: bool `[n, 12]`, True = recorded. sampling_rate: Hz.
    """

    samples: np.ndarray
    lead_mask: np.ndarray
    sampling_rate: float

    def __len__(self) -> int:
        return len(self.samples)

    def only(self, rows: Sequence[int]) -> "Recordings":
        """Those of the rows named, ascending; itself, where that is all of them."""
        if len(rows) == len(self):
            return self
        return Recordings(self.samples[rows], self.lead_mask[rows], self.sampling_rate)

    @property
    def is_uv(self) -> bool:
        """Whether the samples are int16 uV."""
        return self.samples.dtype == np.int16

    @cached_property
    def is_whole(self) -> np.ndarray:
        """bool `[n]`: every lead was recorded, and every sample is a number."""
        all_leads = self.lead_mask.all(axis=1)
        if self.is_uv:
            return all_leads
        # A sum is finite where all is; it spares the usual recording three passes.
        return all_leads & np.isfinite(self.samples.sum(axis=(1, 2)))

    @cached_property
    def extremes(self) -> tuple["Extreme", "Extreme"]:
        """The highest samples and the lowest ones."""
        found = [(_of(each, np.maximum), _of(each, np.minimum)) for each in self.samples]
        return tuple(Extreme(*map(np.stack, zip(*each))) for each in zip(*found))


@dataclass(frozen=True)
class Extreme:
    """value: of each lead `[n, 12]`, in the unit of the samples; times: how often it has it."""

    value: np.ndarray
    times: np.ndarray


def _of(samples: np.ndarray, better: np.ufunc) -> tuple[np.ndarray, list[int]]:
    """Extreme and times of one recording `[12, T]`, which stays in the cache for both."""
    value = better.reduce(samples, axis=1)
    is_at = samples == value[:, None]
    return value, [np.count_nonzero(lead) for lead in is_at]  # axis=1 would take thrice as long


def in_mv(samples: np.ndarray) -> np.ndarray:
    """float64 mV of samples in either form: int16 in uV, or float in mV as they are."""
    return samples / 1000 if samples.dtype == np.int16 else samples
