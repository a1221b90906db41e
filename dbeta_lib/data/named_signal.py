"""What the readers of single files hand over: signals as the file names them, in its own unit."""

from dataclasses import dataclass

import numpy as np

NO_RECORDING = "no recording"  # a reason of Rejected: the file holds something else


@dataclass(frozen=True)
class NamedSignal:
    """values: float64 `[T]` in `unit` ("" = the file says none); sampling_rate in Hz."""

    label: str
    unit: str
    sampling_rate: float
    values: np.ndarray
