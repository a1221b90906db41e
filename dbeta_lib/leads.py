"""The twelve leads: their one order, named subsets, masks, and the leads that others imply.

Every array of leads in the kit is in the order of `LEADS`. Loaders reorder by name on the way in;
nothing downstream trusts positions of a file.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from dbeta_lib.errors import UsageError, nearest

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
# MIMIC-IV-ECG stores aVF before aVL.
MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")

SUBSETS = {
    "12": LEADS,
    "6": ("I", "II", "III", "aVR", "aVL", "aVF"),
    "3": ("I", "II", "V2"),
    "2": ("I", "II"),
    "1": ("I",),
}

_BY_LOWER_NAME = {name.lower(): name for name in LEADS}


def canonical(name: str) -> str:
    """The lead's name as in `LEADS`, whatever its case ("AVR" -> "aVR").

    Raises UsageError for a name that is none of the twelve.
    """
    found = _BY_LOWER_NAME.get(name.strip().lower())
    if found is None:
        raise UsageError(f"'{name}' is no lead name{nearest(name, LEADS)}")
    return found


def lead_index(name: str) -> int:
    """Row of the lead in every `[12, T]` array of the kit."""
    return LEADS.index(canonical(name))


def subset_mask(names: str | Iterable[str]) -> np.ndarray:
    """bool `[12]`, True for the leads named: a key of `SUBSETS`, "I,II,V2", or names.

    Raises UsageError for an unknown lead or an empty list.
    """
    if isinstance(names, str):
        names = SUBSETS.get(names) or [part for part in names.split(",") if part.strip()]
    mask = np.zeros(len(LEADS), dtype=bool)
    mask[[lead_index(name) for name in names]] = True
    if not mask.any():
        raise UsageError("no lead is named; give at least one, for example 'I,II,V2'")
    return mask


def order_to(leads: Sequence[str]) -> np.ndarray:
    """Indices that take an array in `LEADS` order to the order of `leads`: `ecg[:, order]`."""
    return np.array([lead_index(name) for name in leads])


def derive_limb_leads(ecg: np.ndarray) -> np.ndarray:
    """III, aVR, aVL and aVF computed from I and II (Einthoven, Goldberger); same shape and units.

    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. `ecg` is `[..., 12, T]`.
    """
    out = np.array(ecg, copy=True)
    one, two = out[..., 0, :], out[..., 1, :]
    out[..., 2, :] = two - one
    out[..., 3, :] = -(one + two) / 2
    out[..., 4, :] = one - two / 2
    out[..., 5, :] = two - one / 2
    return out
