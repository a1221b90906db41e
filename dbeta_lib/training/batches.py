"""Batches for pre-training: each a pure function of (seed, step), whatever ran before it.

Order of what happens to a record: it is rolled in time, scaled and made noisy as the config says,
leads are dropped, a share of the batch is given another text, words of the text actually given are
hidden, and noise decides which ECG tokens the model will not see.
Nothing here loops over records, and nothing reads global random state: a worker process, a resumed
run and a second GPU all get the same batch for the same step.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dbeta_lib.augmentations import varied
from dbeta_lib.batch import IGNORED, Batch
from dbeta_lib.config import AUGMENTING, DBetaConfig
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import subset_mask
from dbeta_lib.n3s import Negatives
from dbeta_lib.seeds import int_seed, rng
from dbeta_lib.training.masking import WordMasking
from dbeta_lib.training.tokens import ReportTokens

NOISES = [(name, AUGMENTING[name]) for name in
          ("amplitude_scaling", "baseline_wander", "mains_hum", "muscle_noise")]  # fmt: skip


class BatchMaker(Dataset):
    """`maker[step]` is the `Batch` of that step; it goes through `DataLoader(batch_size=None)`.

    store: signals at the config's sampling rate. rows: int `[n]`, rows of the store to draw from;
    those without a report are left out (`left_out` counts them). negatives: what wrong texts are
    drawn from. batch_size: records over all processes; this process makes its slice, `rank` of
    `world`. purpose: another word gives other draws from the same seed. plain_steps: so many steps
    at the start show records as they are, neither rolled nor with leads dropped. pack_texts: texts
    are read without their padding (see `Packing`), unless the switches attend to it.
    Raises UsageError when the store does not fit the config or holds too few records.
    """

    def __init__(
        self,
        store: Any,
        rows: np.ndarray,
        tokenizer: Any,
        config: DBetaConfig,
        negatives: Negatives,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        purpose: str = "train",
        plain_steps: int = 0,
        pack_texts: bool = False,
        progress: bool = False,
    ):
        check_store(store, config)
        rows = np.asarray(rows, dtype=np.int64)
        reports = store.records["report_id"].to_numpy()
        self.rows = rows[reports[rows] >= 0]
        self.left_out = len(rows) - len(self.rows)
        _check_sizes(batch_size, world, len(self.rows), store.path)
        self.store, self.config, self.negatives = store, config, negatives
        self.batch_size, self.seed, self.purpose = batch_size, seed, purpose
        self.plain_steps = plain_steps
        self.pack_texts = pack_texts and config.text.text_attention_mask
        self.world = world
        self.share = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.report_ids = reports[self.rows].astype(np.int64)
        self.present = store.lead_mask()[self.rows]
        objective = config.objective
        self.masking = WordMasking.of(tokenizer, objective.mlm_probability, objective.mlm_masking)
        wanted = np.union1d(self.report_ids, negatives.report_ids)
        limit = config.text.max_text_tokens
        self.subsets = np.array([subset_mask(leads) for leads in objective.lead_subsets])
        self.tokens = ReportTokens.of_store(store, wanted, tokenizer, limit, progress)
        self._orders: dict[int, np.ndarray] = {}

    def __getitem__(self, step: int) -> Batch:
        """The batch of `step` (0, 1, ...); all tensors on the CPU."""
        picked = self.picked(step)
        given, is_aligned = self._texts(picked, step)
        input_ids, attention_mask, labels, text_ids = self._words(picked, given, step)
        whole = {
            "lead_mask": self._leads(picked, step),
            "input_ids": input_ids,
            "attention_mask": attention_mask.astype(np.int64),
            "mlm_labels": labels,
            "is_aligned": is_aligned,
            "report_id": self.report_ids[picked],
            "text_report_id": text_ids,
            "ecg_noise": self._draw("noise", step).random(
                (self.batch_size, self.config.ecg.tokens), dtype=np.float32
            ),
        }
        batch = Batch(
            ecg=self._varied(torch.from_numpy(self._ecg(picked, step)), step),
            **{name: torch.from_numpy(array[self.share]) for name, array in whole.items()},
        )
        words = None
        if self.world > 1:
            words = torch.tensor(float((labels != IGNORED).sum() / self.world))
        batch = batch.packed(self.pack_texts)
        return dataclasses.replace(batch, mlm_places=batch.places(), mlm_words=words)

    __call__ = __getitem__

    def picked(self, step: int) -> np.ndarray:
        """Positions in `rows` of the whole batch `[batch_size]`; epochs follow without a seam."""
        places = step * self.batch_size + np.arange(self.batch_size)
        epochs, within = np.divmod(places, len(self.rows))
        return np.concatenate(
            [self._order(epoch)[within[epochs == epoch]] for epoch in np.unique(epochs).tolist()]
        )

    def record_ids(self, step: int) -> list[str]:
        """Ids of the records of the whole batch, for messages."""
        return self.store.records["record_id"].iloc[self.rows[self.picked(step)]].tolist()

    def _order(self, epoch: int) -> np.ndarray:
        """The epoch's permutation of `rows`; the last two are kept."""
        if epoch not in self._orders:
            while len(self._orders) > 1:
                self._orders.pop(next(iter(self._orders)))
            self._orders[epoch] = self._draw("order", epoch).permutation(len(self.rows))
        return self._orders[epoch]

    def _draw(self, what: str, number: int) -> np.random.Generator:
        return rng(self.seed, self.purpose, what, number)

    def _texts(self, picked: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Report ids meant to be given `[B]`, and is_aligned `[B]` float (0 = another's text).

        int(fraction * B + U(0, 1)) rows without replacement, as in the official code.
        """
        draw, size = self._draw("negatives", step), len(picked)
        count = int(self.config.objective.negative_fraction * size + draw.random())
        replaced = draw.choice(size, count, replace=False)
        given, is_aligned = self.report_ids[picked].copy(), np.ones(size, np.float32)
        given[replaced] = self.negatives.sample(given[replaced], draw)
        is_aligned[replaced] = 0
        return given, is_aligned

    def _words(self, picked: np.ndarray, given: np.ndarray, step: int):
        """input_ids, attention_mask, mlm_labels `[B, L]` and the report ids `[B]` they belong to.

        With `negatives="released"` the ids stay the record's own and only the attention mask is
        the negative's: the leak of the official collator.
        """
        is_released = self.config.objective.negatives == "released"
        text = self.report_ids[picked] if is_released else given
        width = int(max(self.tokens.lengths(text).max(), self.tokens.lengths(given).max()))
        ids, is_token = self.tokens.padded(text, width)
        hidden, labels = self.masking.apply(ids, is_token, self._draw("words", step))
        mask = self.tokens.padded(given, width)[1] if is_released else is_token
        return hidden, mask, labels, text

    def _ecg(self, picked: np.ndarray, step: int) -> np.ndarray:
        """float32 mV `[B / world, 12, T]`, each record rolled by up to `time_shift` of its length.

        What leaves at one end comes in at the other, in all leads alike: the rhythm has one seam,
        the beats stay as they are. A report says nothing of where in the window a beat falls.
        """
        ecg, shifts = self.store.ecg(self.rows[picked[self.share]]), self._shifts(step)
        if shifts is None:
            return ecg
        length = ecg.shape[2]
        places = (np.arange(length) - shifts[self.share, None]) % length
        return np.take_along_axis(ecg, places[:, None, :], axis=2)

    def _shifts(self, step: int) -> np.ndarray | None:
        """Samples `[B]` that each record is rolled by; None where none is."""
        farthest = round(self.config.objective.time_shift * self.store.samples)
        if farthest == 0 or step < self.plain_steps:
            return None
        return self._draw("shift", step).integers(-farthest, farthest + 1, self.batch_size)

    def _varied(self, ecg: Tensor, step: int) -> Tensor:
        """Scaled and made noisy `[B / world, 12, T]`; a share of a batch as in the whole of it."""
        objective = self.config.objective
        if step < self.plain_steps or not any(
            getattr(objective, name) != off for name, off in NOISES
        ):
            return ecg
        whole = ecg.new_zeros(self.batch_size, *ecg.shape[1:])
        whole[self.share] = ecg
        seed = int_seed(self.seed, self.purpose, "varied", step)
        generator = torch.Generator().manual_seed(seed)
        rate = self.config.ecg.sampling_rate
        return varied(whole, objective, rate, generator)[self.share]

    def _leads(self, picked: np.ndarray, step: int) -> np.ndarray:
        """bool `[B, 12]`: present leads of a drawn subset, each dropped with `lead_dropout`.

        At least one is kept: the official code can drop all twelve, and such a record would teach
        nothing. A record without any lead of its subset keeps all of its own.
        """
        present = self.present[picked]
        if step < self.plain_steps:
            return present
        if len(self.subsets):
            drawn = self._draw("subsets", step).integers(len(self.subsets), size=len(picked))
            within = present & self.subsets[drawn]
            present = np.where(within.any(axis=1, keepdims=True), within, present)
        chance = self._draw("leads", step).random(present.shape)
        kept = present & (chance >= self.config.objective.lead_dropout)
        none = ~kept.any(axis=1)
        last = np.where(present, chance, -1.0).argmax(axis=1)
        kept[none, last[none]] = present[none, last[none]]
        return kept


def check_store(store: Any, config: DBetaConfig) -> None:
    """Raises UsageError when the store's rate or length is not the config's."""
    ecg, samples = config.ecg, store.samples
    if store.sampling_rate != ecg.sampling_rate or samples != ecg.samples:
        raise UsageError(
            f"{store.path} holds {samples} samples at {store.sampling_rate} Hz, the model takes "
            f"{ecg.samples} at {ecg.sampling_rate} Hz; prepare the store at that rate"
        )


def _check_sizes(batch_size: int, world: int, records: int, path: Any) -> None:
    if batch_size < 1 or batch_size % world:
        raise UsageError(f"batch_size={batch_size} is no multiple of {world} process(es)")
    if records == 0:
        raise DBetaError(f"{path}: none of the records asked for has a report; nothing to train on")
    if records < batch_size:
        raise UsageError(
            f"batch_size={batch_size} is more than the {records} records with a report in {path}; "
            "lower it"
        )


class InParts:
    """A maker's batches in parts of equal size (`Batch.split`), cut where batches are made: in a
    worker, before they are pinned, and not between two steps of a GPU."""

    def __init__(self, maker: BatchMaker, parts: int):
        self.maker, self.parts = maker, parts

    def __getitem__(self, step: int) -> list[Batch]:
        """The parts of the batch of `step`."""
        return self.maker[step].split(self.parts)
