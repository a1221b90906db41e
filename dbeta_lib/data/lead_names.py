"""Leads by the labels that recorders give them: "ECG I", "Lead_aVR", "V1 (uV)"."""

import functools
import re

from dbeta_lib.leads import LEADS

_BY_LOWER_NAME = {name.lower(): name for name in LEADS}
# A "-" that stands at the name itself is a sign: "Lead -aVR" of the Cabrera order is not aVR.
_PREFIX = r"(?:ecg|ekg|lead)(?:[\s_:]*|-\s*|\s+-\s+)"
_LABEL = re.compile(
    rf"(?:{_PREFIX}){{0,2}}([a-z]{{1,3}}\d?)\s*(?:[\[(/]\s*(\S{{1,12}}?)\s*[\])]?)?"
)
_MAX_LABEL = 80  # characters; the longest of EDF has 16


@functools.lru_cache(maxsize=512)  # the records of a data set have the same few
def parse_label(label: str) -> tuple[str, str] | None:
    """Lead, as in LEADS, and unit ("" = not said) of a label such as "ECG aVR"; None: no lead."""
    label = label.strip().lower()
    found = _LABEL.fullmatch(label) if len(label) <= _MAX_LABEL else None
    lead = _BY_LOWER_NAME.get(found[1]) if found else None
    return (lead, found[2] or "") if lead else None
