"""How many electrodes does it take? The same evaluation with fewer leads.

A lead that is left out is zeros and masked, as when leads are dropped in pre-training. Leads I and
II, recorded alone, imply III, aVR, aVL and aVF (Einthoven, Goldberger): `DerivedLeads` fills these
in before the encoder sees them, which is another encoder and named so.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import Encoder, check_encoder, device_of
from dbeta_lib.leads import LEADS, SUBSETS, subset_mask


def subsets(singles: bool = True, more: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Name -> leads: 12, the 6 of the limbs, I-II-V2, I-II, each lead alone, and yours.

    singles False leaves the single leads out but I. more: lists as "I,II,V5".
    Raises UsageError for an unknown lead.

    >>> list(subsets(singles=False, more=["I,II,V5"]))
    ['12 leads', '6 limb leads', 'I II V2', 'I II', 'I', 'I II V5']
    """
    found = {
        "12 leads": SUBSETS["12"], "6 limb leads": SUBSETS["6"], "I II V2": SUBSETS["3"],
        "I II": SUBSETS["2"], "I": SUBSETS["1"],
    }  # fmt: skip
    if singles:
        found |= {name: (name,) for name in LEADS}
    for text in more:
        leads = tuple(name for name, kept in zip(LEADS, subset_mask(text)) if kept)
        if leads not in found.values():
            found[" ".join(leads)] = leads
    return found


def subset_key(leads: Iterable[str]) -> str:
    """How result records call a set: "12", "6", "3", "2", "1" as published, else its names.

    >>> subset_key(("II", "I")), subset_key(("V5", "I", "II")), subset_key(["V4"])
    ('2', 'I,II,V5', 'V4')

    "1" is lead I, which the published tables mean as far as is known. Raises UsageError for an
    unknown lead or an empty list.
    """
    mask = subset_mask(list(leads))
    named = tuple(name for name, kept in zip(LEADS, mask) if kept)
    return next((key for key, its in SUBSETS.items() if its == named), ",".join(named))


def implied(leads: Iterable[str]) -> tuple[str, ...]:
    """The limb leads that a set without them still determines: none unless I and II are in it.

    >>> implied(("I", "II", "V2"))
    ('III', 'aVR', 'aVL', 'aVF')
    """
    leads = set(leads)
    if not {"I", "II"} <= leads:
        return ()
    return tuple(name for name in SUBSETS["6"] if name not in leads)


_LIMBS = {"I": {"RA", "LA"}, "II": {"RA", "LL"}, "III": {"LA", "LL"}}  # right and left arm, leg


def electrodes(leads: Iterable[str]) -> int:
    """How many electrodes record these leads, the neutral one (right leg) not counted.

    I, II and III are each measured between two limbs; aVR, aVL, aVF and the chest leads against a
    mean of limbs, which takes all three, and a chest lead takes its own electrode besides.

    >>> electrodes(["I"]), electrodes(["I", "II"]), electrodes(["V2"]), electrodes(LEADS)
    (2, 3, 4, 9)
    """
    limbs: set[str] = set()
    for name in leads:
        limbs |= _LIMBS.get(name, {"RA", "LA", "LL"})
    return len(limbs) + sum(name.startswith("V") for name in leads)


class DerivedLeads(nn.Module):
    """An encoder that is given the limb leads which I and II imply, where these two are present.

    encoder: any `Encoder` whose leads are among the twelve. A limb lead that was recorded is kept
    as it is. Text, where the encoder has it, is passed on. Raises UsageError without I or II.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        check_encoder(encoder)
        self.encoder = encoder
        self.sampling_rate, self.leads = encoder.sampling_rate, tuple(encoder.leads)
        if "I" not in self.leads or "II" not in self.leads:
            raise UsageError("leads can only be derived for an encoder that takes I and II")

    @property
    def config(self) -> object:
        """The encoder's own, None without one: it decides the output as the weights do."""
        return getattr(self.encoder, "config", None)

    @property
    def device(self) -> torch.device:
        """Where the encoder computes."""
        return device_of(self.encoder)

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """ecg float mV `[B, L, T]`, lead_mask bool `[B, L]` -> `[B, D]`; see `Encoder`."""
        if lead_mask is None:
            return self.encoder.encode_ecg(ecg)
        ecg, lead_mask = derive(ecg, lead_mask, self.leads)
        return self.encoder.encode_ecg(ecg, lead_mask=lead_mask)

    def encode_text(self, texts: list[str]) -> Tensor:
        """As the encoder's own."""
        return self.encoder.encode_text(texts)

    def similarity(self, ecg_features: Tensor, text_features: Tensor) -> Tensor:
        """As the encoder's own."""
        return self.encoder.similarity(ecg_features, text_features)


def derive(ecg: Tensor, lead_mask: Tensor, leads: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Limb leads that are masked, computed from I and II where both are present.

    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. ecg `[B, L, T]` mV,
    lead_mask bool `[B, L]`, rows as in `leads`; new tensors, the leads now there marked present.
    """
    place = {name: row for row, name in enumerate(leads)}
    one, two = ecg[:, place["I"]], ecg[:, place["II"]]
    implied = {
        "III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2,
    }  # fmt: skip
    both = lead_mask[:, place["I"]] & lead_mask[:, place["II"]]
    ecg, lead_mask = ecg.clone(), lead_mask.clone()
    for name, signal in implied.items():
        if name in place:
            row = place[name]
            fill = both & ~lead_mask[:, row]
            ecg[:, row] = torch.where(fill[:, None], signal, ecg[:, row])
            lead_mask[:, row] |= fill
    return ecg, lead_mask
