"""Files as ECG carts write them: SCP-ECG, and the XML of three makers, by `ecgdatakit`.

SCP-ECG (EN 1064) is compressed in several ways, and makers' XML has no published rule: that is left
to a library. What it gives is taken with distrust, as any file. `ecgdatakit` is an extra.
"""

import warnings
from importlib import import_module
from pathlib import Path

import numpy as np

from dbeta_lib.data.dicom_read import INSTALL
from dbeta_lib.data.named_signal import NamedSignal
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import MAX_SAMPLES

# First element of an XML file -> what it is called, and ecgdatakit's module and class for it.
CARTS = {
    "RestingECG": ("GE MUSE", "ge_muse_xml", "GEMuseXMLParser"),
    "restingecgdata": ("Philips", "sierra_xml", "SierraXMLParser"),
    "ECG": ("Mortara", "mortara_el250", "MortaraEL250Parser"),
}
SCP = ("SCP-ECG", "scp_ecg", "SCPECGParser")


def read_scp(path: Path) -> list[NamedSignal]:
    """The leads of an SCP-ECG file. Raises Rejected; its detail names the file."""
    return _read(path, *SCP)


def read_cart_xml(path: Path, root: str) -> list[NamedSignal]:
    """The same of a maker's XML; `root`: the name of its first element, one of CARTS."""
    return _read(path, *CARTS[root])


def _read(path: Path, kind: str, module: str, name: str) -> list[NamedSignal]:
    try:
        parser = getattr(import_module(f"ecgdatakit.parsing.parsers.{module}"), name)()
    except (ImportError, AttributeError):
        found = f"{path.name} is {kind}, which ecgdatakit 2 reads: {INSTALL}"
        raise Rejected("unreadable", found) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on patients' data and checksums, which we leave alone
            leads = [lead.to_physical() for lead in parser.parse(path).leads]
            found = [_signal(lead) for lead in leads]
    except Exception as error:  # whatever a foreign parser trips over is a file that is not read
        told = (str(error).partition("\n")[0] or type(error).__name__)[:200]
        detail = (
            told if path.name in told else f"{path.name} is no {kind} that can be read ({told})"
        )
        raise Rejected("unreadable", detail) from None
    if sum(len(signal.values) for signal in found) > MAX_SAMPLES:
        raise Rejected("wrong shape", f"{path.name} has too many samples; cut it first")
    if len({len(signal.values) for signal in found}) > 1:
        raise Rejected("wrong shape", f"{path.name} has leads of different lengths")
    return found


def _signal(lead) -> NamedSignal:
    values = np.asarray(lead.samples, dtype=np.float64)
    return NamedSignal(str(lead.label), str(lead.units), float(lead.sampling_rate), values)
