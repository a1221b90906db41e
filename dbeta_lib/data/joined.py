"""Several stores as one, for a pre-training over more than one centre.

Each store keeps its splits; a text that two stores share is one report, with its language beside.
What is in one collection is often in another too (CinC 2021 holds PTB-XL, CPSC2018 and CSN), so a
training row whose samples stand in the validation or test split of any of the stores is left out.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.reports import report_ids
from dbeta_lib.data.store import SPLITS, SignalStore
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.files import sha256_bytes
from dbeta_lib.seeds import rng


class JoinedStore:
    """What pre-training asks of a `SignalStore`, over several of them.

    >>> both = JoinedStore([ptb_xl, mimic], weights=[2, 1])  # doctest: +SKIP
    >>> pretrain(model, both, "runs/both")  # doctest: +SKIP

    weights: how often a training row of each store is seen in an epoch, 1 for all by default; 0.5
    is every other row, drawn from `seed`, 2 is each twice. records: those of the stores one after
    the other, with `store` (its name), record_id and patient_id led by it, and report_id over all.
    meta: {"name"}. left_out: training rows that also stand in another split. path: beside the first
    store; what is mined for the joined store is kept there.
    Raises UsageError when rates or lengths differ, or a weight is impossible.
    """

    def __init__(
        self, stores: Sequence[SignalStore], weights: Sequence[float] | None = None, seed: int = 0
    ):
        self.stores = list(stores)
        weights = [1.0] * len(self.stores) if weights is None else [float(w) for w in weights]
        _check(self.stores, weights)
        self.sampling_rate, self.samples = self.stores[0].sampling_rate, self.stores[0].samples
        self.leads = self.stores[0].leads
        self.meta = {"name": " + ".join(store.meta["name"] for store in self.stores)}
        self._starts = np.cumsum([0, *map(len, self.stores)])
        self.records = _records(self.stores)
        parts = [store.fingerprint for store in self.stores] + [repr(weights), str(seed)]
        self.fingerprint = sha256_bytes("\n".join(parts).encode())
        names = "+".join(store.path.name for store in self.stores)
        self.path: Path = self.stores[0].path.with_name(f"{names}-{self.fingerprint[:8]}")
        self._rows = self._split_rows(weights, seed)

    def _split_rows(self, weights: list[float], seed: int) -> dict[str, np.ndarray]:
        splits = self.records["split"].to_numpy()
        hashes = self.records["signal_hash"]
        held_out = hashes[np.isin(splits, ["val", "test"])]
        seen = hashes.isin(set(held_out)).to_numpy() & (splits == "train")
        self.left_out = int(seen.sum())
        rows = {split: np.flatnonzero((splits == split) & ~seen) for split in SPLITS}
        train = []
        for number, weight in enumerate(weights):
            start, end = self._starts[number : number + 2]
            own = rows["train"][(rows["train"] >= start) & (rows["train"] < end)]
            copies, rest = divmod(round(weight * len(own)), max(len(own), 1))
            drawn = rng(seed, "store-weight", number).permutation(own)[:rest]
            train += [np.tile(own, copies), np.sort(drawn)]
        return rows | {"train": np.concatenate(train)}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def rows(self, split: str) -> np.ndarray:
        """int64 rows of 'train' (repeated or thinned by the weights), 'val' or 'test'."""
        if split not in SPLITS:
            raise UsageError(f"'{split}' is no split{nearest(split, SPLITS)}")
        return self._rows[split]

    def ecg(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """float32 mV `[n, 12, T]` of the rows asked for, in that order."""
        rows = np.asarray(rows)
        ecg = np.empty((len(rows), len(self.leads), self.samples), np.float32)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(owner):
            mine = owner == number
            ecg[mine] = self.stores[number].ecg(rows[mine] - self._starts[number])
        return ecg

    def lead_mask(self) -> np.ndarray:
        """bool `[N, 12]`, True where the lead was recorded."""
        return np.concatenate([store.lead_mask() for store in self.stores])


def _check(stores: list[SignalStore], weights: list[float]) -> None:
    if not stores:
        raise UsageError("no store is given; name at least one")
    if len(weights) != len(stores):
        raise UsageError(f"{len(weights)} weights for {len(stores)} stores; give one each")
    if min(weights) < 0 or not np.isfinite(weights).all() or not any(weights):
        raise UsageError(f"weights {weights}: none may be negative, and one must be above 0")
    if len({store.path.resolve() for store in stores}) < len(stores):
        raise UsageError("a store is named twice; give it a weight instead")
    first = stores[0]
    for other in stores[1:]:
        if (other.sampling_rate, other.samples) != (first.sampling_rate, first.samples):
            raise UsageError(
                f"{other.path} has {other.samples} samples at {other.sampling_rate} Hz, "
                f"{first.path} {first.samples} at {first.sampling_rate}; prepare both at one rate"
            )


def _records(stores: list[SignalStore]) -> pd.DataFrame:
    parts = []
    for number, store in enumerate(stores):
        name = store.meta["name"] if len({s.meta["name"] for s in stores}) > 1 else str(number)
        lead = store.records["record_id"].map(lambda value, name=name: f"{name}:{value}")
        patient = store.records["patient_id"].map(lambda value, name=name: f"{name}:{value}")
        parts.append(store.records.assign(store=name, record_id=lead, patient_id=patient))
    records = pd.concat(parts, ignore_index=True)
    return records.assign(report_id=report_ids(records["text"].tolist()))
