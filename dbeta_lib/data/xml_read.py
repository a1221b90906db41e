"""ECGs in XML: HL7's annotated ECG (aECG) here, the carts' own kinds by `ecgdatakit`.

aECG: the first series of a rhythm; its sequences name a lead each and give integers with an origin
and a scale (HL7 v3 aECG, R1, 2004). Annotations and the derived beats are left unread. No entity is
expanded and nothing outside the file is fetched.
"""

import math
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as safe

from dbeta_lib.data.cart_read import CARTS, read_cart_xml
from dbeta_lib.data.named_signal import NO_RECORDING, NamedSignal
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import MAX_SAMPLES

MAX_BYTES = 64 * 1024 * 1024  # as text; a tree of it takes ten times as much
_LEAD = "MDC_ECG_LEAD_"
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def read_xml(path: Path, size: int) -> list[NamedSignal]:
    """The leads of the file's recording. Raises Rejected; its detail names the file."""
    if size > MAX_BYTES:
        raise Rejected("wrong shape", f"{path.name} has {size} bytes of XML; cut it first")
    try:
        kind = _root(path)
        if kind == "AnnotatedECG":
            return _from_aecg(safe.parse(path).getroot(), path.name)
    except DefusedXmlException:
        found = f"{path.name} declares entities, which are not expanded; export it without"
        raise Rejected("unreadable", found) from None
    except (ParseError, OSError, ValueError, LookupError) as error:  # LookupError: an encoding
        raise Rejected("unreadable", f"{path.name} is no whole XML ({error})") from None
    if kind in CARTS:
        return read_cart_xml(path, kind)
    raise Rejected(NO_RECORDING, f"{path.name} is XML of <{kind[:40]}>, no ECG")


def _root(path: Path) -> str:
    """Name of the first element; what is declared before it is looked at, nothing after it."""
    for _, element in safe.iterparse(path, events=("start",)):
        return _local(element)
    return ""


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: Element, name: str) -> list[Element]:
    return [child for child in element if _local(child) == name]


def _inner(element: Element, *names: str) -> list[Element]:
    """Elements at the end of a path of names, all of them."""
    found = [element]
    for name in names:
        found = [child for each in found for child in _children(each, name)]
    return found


def _from_aecg(root: Element, name: str) -> list[NamedSignal]:
    for series in _inner(root, "component", "series"):
        for sequences in _inner(series, "component", "sequenceSet"):
            found = _from_set(sequences, name)
            if found:
                return found
    raise Rejected(NO_RECORDING, f"{name} is an aECG without a lead")


def _from_set(sequences: Element, name: str) -> list[NamedSignal]:
    """All leads of a set, with the rate that its sequence of times gives."""
    rate, signals, total = math.nan, [], 0
    for sequence in _inner(sequences, "component", "sequence"):
        code = next((c.get("code", "") for c in _children(sequence, "code")), "")
        value = next(iter(_children(sequence, "value")), None)
        if value is None:
            continue
        if code.startswith("TIME_"):
            rate = _rate(value, name)
        elif code.startswith(_LEAD):
            values, unit = _samples(value, code, name)
            total += len(values)
            if total > MAX_SAMPLES:
                raise Rejected("wrong shape", f"{name} has too many samples; cut it first")
            signals.append((code.removeprefix(_LEAD), unit, values))
    if signals and math.isnan(rate):
        raise Rejected("wrong sampling rate", f"{name} gives no increment of time")
    if len({len(values) for _, _, values in signals}) > 1:
        raise Rejected("wrong shape", f"{name} has leads of different lengths")
    return [NamedSignal(label, unit, rate, values) for label, unit, values in signals]


def _rate(value: Element, name: str) -> float:
    """Hz of `<increment value="0.002" unit="s"/>`."""
    for increment in _children(value, "increment"):
        step = _number(increment.get("value", ""), "increment", name)
        unit = increment.get("unit", "s")
        if unit in _SECONDS and step > 0:
            rate = 1 / (step * _SECONDS[unit])
            return float(round(rate)) if abs(rate - round(rate)) < 1e-6 * rate else rate
    raise Rejected("wrong sampling rate", f"{name} gives no increment of time in seconds")


def _samples(value: Element, code: str, name: str) -> tuple[np.ndarray, str]:
    """Origin + scale * digits, and their unit."""
    origin, unit = _quantity(value, "origin", name)
    scale, scale_unit = _quantity(value, "scale", name)
    if unit and scale_unit and unit != scale_unit and origin:
        raise Rejected("unknown unit", f"{name}: origin and scale of {code} differ in unit")
    digits = " ".join(part.text or "" for part in _children(value, "digits")).split()
    try:
        values = np.array(digits, dtype=np.float64)
    except ValueError:
        raise Rejected("unreadable", f"{name}: a sample of {code} is no number") from None
    return origin + scale * values, scale_unit or unit


def _quantity(value: Element, what: str, name: str) -> tuple[float, str]:
    for found in _children(value, what):
        return _number(found.get("value", ""), what, name), found.get("unit", "")
    return (0.0 if what == "origin" else 1.0), ""


def _number(text: str, what: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < 1e9:
        raise Rejected("unreadable", f"{name}: '{text[:20]}' is no {what}")
    return number
