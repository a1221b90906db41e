"""Which text a record is given when it is given a wrong one: N3S, random, and the released leak.

N3S (nearest-neighbour negative sampling; the name is the paper's, the neighbours are the
farthest) embeds every distinct training report once, keeps for each the k = 64 reports of lowest
cosine, and draws one of them for half of every batch. A random record's report would often be the
same text, or the same finding in other words: those are false negatives. The official code
draws the negatives but hands the model the original ids (`released_collator`).
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dbeta_lib.embedders import Embedder, HubEmbedder, TfidfEmbedder, embed_reports
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import atomic_write
from dbeta_lib.neighbours import farthest, nearest

__all__ = [
    "Embedder",
    "HubEmbedder",
    "NegativeTable",
    "Negatives",
    "RandomNegatives",
    "TfidfEmbedder",
    "distinct_reports",
    "embed_reports",
    "ensure_table",
    "farthest",
    "hub_counts",
    "nearest",
    "random_negative_rates",
    "released_collator",
    "reports_fingerprint",
]

FORMAT = 1
DEFAULT_K = 64  # the paper's


class Negatives(Protocol):
    """What a batch draws wrong texts from."""

    report_ids: np.ndarray  # int64, ascending: every id that can be drawn

    def sample(self, report_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One negative report id for each report id, int64 `[n]`."""

    def describe(self) -> dict[str, Any]:
        """Plain values; a run is only resumed with negatives of the same description."""


class NegativeTable:
    """For each distinct report the k farthest; `sample` draws one of them uniformly.

    table: int32 `[R, k]`, positions in `report_ids`, farthest first. report_ids: int64 `[R]`,
    ascending. embedder: the embedder's description. fingerprint: of ids and texts.

    >>> texts = ["sinus rhythm", "atrial fibrillation", "paced rhythm"]
    >>> table = NegativeTable.build(texts, TfidfEmbedder(), k=1)
    >>> table.sample(np.array([0]), np.random.default_rng(0))  # nothing in common, lowest index
    array([1])
    """

    def __init__(
        self, table: np.ndarray, report_ids: np.ndarray, embedder: dict[str, Any], fingerprint: str
    ):
        self.table = np.asarray(table, dtype=np.int32)
        self.report_ids = np.asarray(report_ids, dtype=np.int64)
        self.embedder = embedder
        self.fingerprint = fingerprint

    @property
    def k(self) -> int:
        """Candidates per report."""
        return self.table.shape[1]

    @classmethod
    def build(
        cls,
        texts: Sequence[str],
        embedder: Embedder,
        k: int = 64,
        report_ids: np.ndarray | None = None,
        backend: str = "torch",
        **search: Any,
    ) -> "NegativeTable":
        """Embed distinct texts and find the k farthest of each (all others when R <= k).

        report_ids: ascending ids of the texts, 0..R-1 by default. search: `block`, `device`,
        `progress` of `neighbours.farthest`. Raises DBetaError for fewer than two texts.
        """
        ids = np.arange(len(texts)) if report_ids is None else np.asarray(report_ids)
        if len(ids) != len(texts) or (np.diff(ids) <= 0).any():
            raise DBetaError("report ids must be ascending and one for each text; sort them first")
        table = farthest(embed_reports(texts, embedder), k, backend, **search)
        return cls(table, ids, embedder.describe(), reports_fingerprint(ids, texts))

    def describe(self) -> dict[str, Any]:
        """Kind, k, embedder and the reports' fingerprint."""
        reports = {"reports": self.fingerprint, "embedder": self.embedder}
        return {"kind": "n3s", "k": self.k, **reports}

    def sample(self, report_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One of each report's k farthest, uniformly; int64 `[n]`."""
        rows = positions(self.report_ids, report_ids)
        return self.report_ids[self.table[rows, rng.integers(0, self.k, size=len(rows))]]

    def candidates(self, report_id: int) -> np.ndarray:
        """The k report ids that may stand against `report_id`, farthest first."""
        return self.report_ids[self.table[positions(self.report_ids, [report_id])[0]]]

    def save(self, path: Path | str) -> None:
        """One .npz without pickle, whole or not at all; the same table gives the same bytes."""
        described = json.dumps(
            {"format": FORMAT, "embedder": self.embedder, "fingerprint": self.fingerprint},
            sort_keys=True,
        )
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file, table=self.table, report_ids=self.report_ids, described=np.array(described)
            )

    @classmethod
    def open(cls, path: Path | str) -> "NegativeTable":
        """Read a saved table. Raises DBetaError when it is absent, damaged or another format."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                described = json.loads(str(arrays["described"]))
                table, ids = arrays["table"], arrays["report_ids"]
        except FileNotFoundError:
            raise DBetaError(f"{path} is not there; build the table of negatives first") from None
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DBetaError(
                f"{path} is no table of negatives ({error}); delete it and build it again"
            ) from error
        if described.get("format") != FORMAT:
            raise DBetaError(f"{path} has another format; delete it and build it again")
        return cls(table, ids, described["embedder"], described["fingerprint"])


def positions(known: np.ndarray, report_ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where each report id stands in the ascending `known`, int64 `[n]`; DBetaError if nowhere."""
    wanted = np.asarray(report_ids, dtype=np.int64)
    rows = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    missing = wanted[known[rows] != wanted]
    if len(missing):
        raise DBetaError(f"report {missing[0]} has no negatives; build them from these rows")
    return rows


class RandomNegatives:
    """The report of a random record, so frequent texts come often: possibly the very same text.

    report_ids: int `[N]`, one per training record. exclude_equal: never the record's own text
    (the same finding in other words still comes).
    """

    def __init__(self, report_ids: np.ndarray, exclude_equal: bool = False):
        self.records = np.sort(np.asarray(report_ids, dtype=np.int64))
        self.report_ids = np.unique(self.records)
        self.exclude_equal = exclude_equal
        if len(self.records) == 0 or (exclude_equal and self.records[0] == self.records[-1]):
            raise DBetaError("there is one distinct report or none; no negative can be drawn")

    def describe(self) -> dict[str, Any]:
        """Kind, and a fingerprint of the records drawn from."""
        digest = hashlib.sha256(self.records.tobytes()).hexdigest()[:16]
        return {"kind": "random", "exclude_equal": self.exclude_equal, "records": digest}

    def sample(self, report_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One report id for each, uniform over records (over those with another text)."""
        wanted = np.asarray(report_ids, dtype=np.int64)
        if not self.exclude_equal:
            return self.records[rng.integers(0, len(self.records), size=len(wanted))]
        first = np.searchsorted(self.records, wanted, side="left")
        count = np.searchsorted(self.records, wanted, side="right") - first
        drawn = rng.integers(0, len(self.records) - count)
        return self.records[np.where(drawn < first, drawn, drawn + count)]


def distinct_reports(store: Any, split: str = "train") -> tuple[np.ndarray, list[str]]:
    """Ids (ascending) and texts of a split's distinct reports; rows without one are left out."""
    records = store.records.iloc[store.rows(split)]
    ids, first = np.unique(records["report_id"].to_numpy(), return_index=True)
    first = first[ids >= 0]
    return ids[ids >= 0], records["text"].iloc[first].tolist()


def reports_fingerprint(report_ids: np.ndarray, texts: Sequence[str]) -> str:
    """Sixteen hexadecimal digits that change with any report or id."""
    digest = hashlib.sha256()
    for number, text in zip(report_ids, texts, strict=True):
        digest.update(f"{number}\x1f{text}\x1e".encode())
    return digest.hexdigest()[:16]


def ensure_table(
    store: Any,
    path: Path | str | None = None,
    embedder: Embedder | None = None,
    k: int | None = None,
    split: str = "train",
    say: Callable[[str], None] = print,
    **search: Any,
) -> NegativeTable:
    """The table of a store's split: read where reports, embedder and k are unchanged, else built.

    path: `<store>.negatives.<split>.npz` beside the store by default. embedder, k: where None, any
    that the table there was made with; a new table is made with TF-IDF and k = 64 then.
    `say` gets one sentence about what was done.
    """
    path = Path(path or store.path.with_name(f"{store.path.name}.negatives.{split}.npz"))
    ids, texts = distinct_reports(store, split)
    why = "there was none"
    if path.exists():
        try:
            table = NegativeTable.open(path)
            why = _difference(table, embedder, reports_fingerprint(ids, texts), k)
        except DBetaError as error:
            why = str(error)
        if not why:
            made = f"made with {table.embedder['kind']}, {table.k} of {len(ids)} distinct reports"
            say(f"negatives: {path.name} reused as it is, {made} each")
            return table
    table = NegativeTable.build(texts, embedder or TfidfEmbedder(), k or DEFAULT_K, ids, **search)
    table.save(path)
    kind = table.embedder["kind"]
    say(f"negatives: {path.name} built with {kind} from {len(ids)} distinct reports ({why})")
    return table


def _difference(
    table: NegativeTable, embedder: Embedder | None, fingerprint: str, k: int | None
) -> str:
    """Why a saved table does not serve; empty when it does. None asks for no embedder, for no k."""
    if table.fingerprint != fingerprint:
        before = f"the table before was made with {table.embedder['kind']}, k = {table.k}"
        return f"the reports have changed; {before}"
    if embedder is not None and table.embedder != embedder.describe():
        return "the embedder has changed"
    if k is not None and table.k != min(k, len(table.report_ids) - 1):
        return f"k was {table.k}"
    return ""


def hub_counts(table: NegativeTable) -> np.ndarray:
    """How many reports' candidate lists each report stands in, int64 `[R]`; the mean is k."""
    return np.bincount(table.table.ravel(), minlength=len(table.report_ids))


def random_negative_rates(
    embeddings: np.ndarray, counts: np.ndarray, threshold: float = 0.9, block: int = 1024
) -> dict[str, float]:
    """How often another random record brings the same text, or one of cosine >= threshold.

    embeddings: float32 `[R, d]` unit rows of the distinct reports. counts: int `[R]`, records
    with each report. Exact, over all ordered pairs of two records. Returns shares in 0..1:
    "duplicate", and "near" (duplicates included).
    """
    counts = np.asarray(counts, dtype=np.float64)
    pairs = counts.sum() * (counts.sum() - 1)
    if pairs <= 0:
        raise DBetaError("rates of random negatives need at least two records")
    same = (counts * (counts - 1)).sum()
    near = 0.0
    for start in range(0, len(counts), block):
        own = slice(start, start + block)
        close = embeddings[own] @ embeddings.T >= threshold
        close[np.arange(len(close)), np.arange(start, start + len(close))] = False
        near += (close @ counts) @ counts[own]
    return {"duplicate": float(same / pairs), "near": float((same + near) / pairs)}


def released_collator(
    texts: Sequence[str], negatives: Mapping[int, str], tokenizer: Any
) -> dict[str, np.ndarray]:
    """What reaches the model in the official code when `negatives[row]` was to replace a text.

    The negative's ids are put in, then all ids are rebuilt from the original texts; the negative's
    padding mask and the label stay. Returns `input_ids` (the original's), `attention_mask` (the
    negative's in those rows), `is_aligned`, and, for comparison, `intended_ids` and
    `intended_mask`. All `[B, L]` but `is_aligned` `[B]`.
    """
    given = [negatives.get(row, text) for row, text in enumerate(texts)]
    both = tokenizer([*texts, *given], padding=True, return_tensors="np")
    ids, mask, n = both["input_ids"], both["attention_mask"], len(texts)
    return {
        "input_ids": ids[:n],
        "attention_mask": mask[n:],
        "is_aligned": np.array([0.0 if row in negatives else 1.0 for row in range(n)]),
        "intended_ids": ids[n:],
        "intended_mask": mask[n:],
    }
