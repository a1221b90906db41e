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
        found.setdefault(" ".join(leads), leads)
    return found


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
