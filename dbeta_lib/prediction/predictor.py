"""A model that is ready to be asked: recordings in, predictions out, several at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib import box
from dbeta_lib.data.signals import SECONDS, Rejected, Signal, in_mv, unpack_bits
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.windows import cut
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.encoders import (
    check_encoder,
    device_of,
    evaluating,
    to_encoder_input,
    weights_hash,
)
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.zero_shot import class_texts, score_classes
from dbeta_lib.model import DBeta
from dbeta_lib.prediction.inputs import Given
from dbeta_lib.prediction.known import Reference, known
from dbeta_lib.prediction.questions import Questions
from dbeta_lib.prediction.refusals import Unread, unscorable
from dbeta_lib.prediction.result import About, Prediction

BATCH = 32  # recordings embedded at a time
NEAREST = 5  # ECGs of a store that are named


class Predictor:
    """Model, questions and store, made ready once.

    model: None = the one in the box, a model's folder, or a model. Raises DBetaError for a folder
    without a model or a store that is none, UsageError for a model that cannot be asked.
    """

    def __init__(self, model: Any, questions: Questions, neighbours: Any = None):
        self.model, folder, name = _opened(model)
        check_encoder(self.model)
        found = known(folder, weights_hash(self.model), questions)
        self.questions, result, reference = found.questions, found.result, found.reference
        self.classes = tuple(self.questions.texts)
        self.texts = class_texts(self.classes, self.questions.texts)
        self.store = None
        if neighbours is not None:
            is_store = hasattr(neighbours, "records")
            self.store = neighbours if is_store else SignalStore.open(neighbours)
            self.features = _store_features(self.model, self.store)
            self.labels = _labels(self.store, self.questions.task)
            reference = reference or self._reference_of_store()
        trained = box.told(folder.parent) if folder else ""
        self.seen = _seen(folder)
        self.about = About(name, trained, self.questions, result, reference)

    def predict(self, given: list[Given]) -> list[Prediction]:
        """Predictions in the order given. Raises DBetaError for what cannot be used."""
        found = list(self.stream(given))
        for each in found:
            if isinstance(each, Unread):
                raise DBetaError(each.says)
        return found

    def stream(self, given: Iterable[Given | Unread]) -> Iterator[Prediction | Unread]:
        """The same of many, `BATCH` at a time; what cannot be used comes as `Unread`."""
        given = iter(given)
        while batch := list(islice(given, BATCH)):
            prepared = [self._prepare(each) for each in batch]
            kept = [pair for pair in prepared if not isinstance(pair, Unread)]
            answers = iter(self._answer(kept))
            yield from (p if isinstance(p, Unread) else next(answers) for p in prepared)

    def _prepare(self, given: Given | Unread) -> tuple[Given, Signal] | Unread:
        """The first ten seconds, cut and cleaned as a store's record at the model's rate."""
        if isinstance(given, Unread):
            return given
        try:
            signal = cut(given.recording, int(self.model.sampling_rate), "first", SECONDS)[0][1]
        except Rejected as reason:
            signal = reason
        if isinstance(signal, Rejected):
            return unscorable(given.name, given.window, given.is_part, signal)
        return given, signal

    def _answer(self, kept: list[tuple[Given, Signal]]) -> list[Prediction]:
        if not kept:
            return []
        ecg = np.stack([in_mv(signal.uv) for _, signal in kept]).astype(np.float32)
        mask = unpack_bits(np.array([signal.leads_present for _, signal in kept]))
        features = self._encode(ecg, mask)
        scores = score_classes(self.model, features, self.texts)
        return [
            Prediction(
                given, self.about, mask[i], features[i], self._table(scores[i]),
                self._nearest(features[i]), signal.hash in self.seen,
            )
            for i, (given, signal) in enumerate(kept)
        ]  # fmt: skip

    def _encode(self, ecg: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """float32 `[n, D]`, as `evaluation.features.extract` computes it."""
        rate, device = int(self.model.sampling_rate), device_of(self.model)
        given, present = to_encoder_input(ecg, mask, rate, self.model)
        with evaluating(self.model):
            found = self.model.encode_ecg(given.to(device), lead_mask=present.to(device))
        return found.float().cpu().numpy()

    def _table(self, scores: np.ndarray) -> pd.DataFrame:
        """One row a class; those that stand highest among other ECGs first, where that is known."""
        result, reference = self.about.result, self.about.reference
        rows = []
        for name, score in zip(self.classes, scores):
            measured = result.per_class.get(name, {}) if result else {}
            auc = [measured.get(key) for key in ("auc", "low", "high", "positives")]
            higher = reference.rank(name, score) if reference else np.nan
            rows.append((name, self.questions.names.get(name, ""), score, higher, *auc))
        heads = ["class", "in words", "score", "rank", "auc", "low", "high", "positives"]
        table = pd.DataFrame(rows, columns=heads)
        table[heads[2:]] = table[heads[2:]].astype(float)
        return table.sort_values("rank", ascending=False, kind="stable", ignore_index=True)

    def _nearest(self, features: np.ndarray) -> pd.DataFrame | None:
        """The ECGs of the store with the greatest cosine to these features `[D]`."""
        if self.store is None:
            return None
        cosine = _unit(self.features) @ _unit(features[None])[0]
        rows = np.argsort(-cosine, kind="stable")[:NEAREST]
        records = self.store.records.iloc[rows]
        return pd.DataFrame({
            "record": records["record_id"].to_numpy(), "cosine": cosine[rows],
            "labels": [self.labels[row] for row in rows],
            "report": records["report"].to_numpy(), "row": rows,
        })  # fmt: skip

    def _reference_of_store(self) -> Reference:
        scores = score_classes(self.model, self.features, self.texts)
        who = f"{len(self.store):,} ECGs of {self.store.meta['name']}"
        records = self.store.records
        is_whole = unpack_bits(records["leads_present"]).all() and not records["padded"].any()
        return Reference.of(who, self.classes, scores, bool(is_whole))


def _opened(model: Any) -> tuple[Any, Path | None, str]:
    """The model, its folder where it has one, and its name."""
    if model is None:
        return box.load(), box.MODEL, box.NAME
    if not isinstance(model, Path | str):
        return model, None, type(model).__name__
    folder = Path(model)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name one that save_pretrained wrote")
    return DBeta.from_pretrained(folder), folder.resolve(), str(model)


def _seen(folder: Path | None) -> frozenset[str]:
    """Hashes of the signals that trained it, where a box keeps them beside the model."""
    path = folder.parent / box.SEEN if folder else None
    if path is None or not path.is_file():
        return frozenset()
    return frozenset(pd.read_parquet(path, columns=["signal_hash"])["signal_hash"])


def _store_features(model: Any, store: SignalStore) -> np.ndarray:
    """Features of all rows, kept beside the store for the next time."""
    return extract(model, store, cache_dir=store.path.with_name(f"{store.path.name}.features"))


def _labels(store: SignalStore, task: str) -> list[str]:
    """Each row's labels of the task, of the store's first where it has none of that name."""
    tasks = store.tasks()
    if not tasks:
        return [""] * len(store)
    table = store.labels(task if task in tasks else tasks[0])
    names = np.array(table.columns, dtype=object)
    return [", ".join(names[row == 1]) for row in table.to_numpy()]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
