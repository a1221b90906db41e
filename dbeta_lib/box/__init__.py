"""The small trained model that comes with the kit: `mini`, pre-trained on PTB-XL.

    from dbeta_lib import box
    model = box.load()                 # ready to be asked, no download, no training

Folds 1 to 8 of PTB-XL trained it, 9 and 10 it has not seen. What is known of it stands beside it:
MODEL_CARD.md, DATA_STATEMENT.md, its result records and the command that made it (`box.json`).
A result computed with it on PTB-XL is in-domain, and says so:

    records.provenance(store, rows, box.pretrained_on())
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.errors import DBetaError
from dbeta_lib.files import read_json, sha256_file

FOLDER = Path(__file__).parent
MODEL = FOLDER / "model"
NAME = "the model in the box"
MANIFEST, SUMMARY, SEEN, CARD, STATEMENT = (
    "box.json", "summary.json", "seen.parquet", "MODEL_CARD.md", "DATA_STATEMENT.md",
)  # fmt: skip
WEIGHTS = "model/model.safetensors"
_REMEDY = "get this folder's files from the repository again, or name a model of your own"


def is_there(folder: Path = FOLDER) -> bool:
    """Whether the box holds a model."""
    return (folder / MANIFEST).is_file() and (folder / WEIGHTS).is_file()


def check(folder: Path = FOLDER) -> dict[str, Any]:
    """What `box.json` says, once every file is found to be the one that it names.

    Raises DBetaError naming the file that is absent or another.
    """
    if not is_there(folder):
        raise DBetaError(f"{folder} holds no model ({WEIGHTS} is missing); {_REMEDY}")
    told = read_json(folder / MANIFEST)
    for name, wanted in told["files"].items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != wanted:
            raise DBetaError(f"{path} is missing, or not the file that was packed; {_REMEDY}")
    return told


@functools.cache
def load(folder: Path = FOLDER):
    """The model, a `DBeta` on the CPU in evaluation mode; the same object each time.

    Raises DBetaError where there is none, or a file of it is damaged.
    """
    from dbeta_lib.model import DBeta

    check(folder)
    return DBeta.from_pretrained(folder / "model")


def told(folder: Path = FOLDER) -> str:
    """A sentence on what it is and what trained it; "" where there is no model."""
    return str(read_json(folder / MANIFEST)["sentence"]) if is_there(folder) else ""


@dataclass(frozen=True)
class Seen:
    """Of the records that pre-training read, as much as `records.provenance` asks of a store."""

    records: pd.DataFrame  # record_id, patient_id, report_id (-1 = none), signal_hash
    meta: dict[str, Any]
    fingerprint: str
    reports_from_labels: bool


def pretrained_on(folder: Path = FOLDER) -> list[tuple[Seen, np.ndarray]]:
    """What `records.provenance` takes: the data set, and which of its records were read."""
    told = check(folder)
    records = pd.read_parquet(folder / SEEN)
    data = told["data"]
    seen = Seen(records, data, data["fingerprint"], bool(data["reports_from_labels"]))
    return [(seen, np.arange(len(records)))]
