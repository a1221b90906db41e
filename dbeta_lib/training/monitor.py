"""What is measured while a model trains, always on the same validation records.

The ETM accuracy on training batches depends on how easy the run's negatives are, and so do the
validation losses, whose wrong texts are drawn as the run draws its own. Accuracy is therefore taken
on one fixed set, the same for every run of a seed: each record's own text against a random other
text, and against one of the 64 farthest. And a matching head can be right without looking at the
ECG, since far negatives are unusual texts. The control gives it the same texts and labels with the
ECGs of other patients: what then is still above one half was read from the text.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from dbeta_lib.balanced import BalancedNegatives, counted_reports
from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import DBetaError
from dbeta_lib.mined_tables import RIVALS
from dbeta_lib.model import DBeta
from dbeta_lib.n3s import Negatives, NegativeTable, RandomNegatives, TfidfEmbedder
from dbeta_lib.seeds import rng
from dbeta_lib.training.batches import BatchMaker

LOSSES = ("mlm", "mem", "etm", "ets", "total")
MATCHING = ("etm_random", "etm_far", "etm_random_shuffled", "etm_far_shuffled")
COLUMNS = tuple(f"val_{name}" for name in (*LOSSES, *MATCHING))


class Monitor:
    """Validation losses and the fixed matching set.

    rows: validation rows of the store; at most `records` of them, drawn from `seed`, are used.
    Far texts are the TF-IDF-farthest among their own reports. Neither they nor the random ones
    depend on the negatives that the run trains with. Raises DBetaError when the rows hold fewer
    than two distinct reports.
    """

    def __init__(
        self, config: DBetaConfig, store: Any, tokenizer: Any, rows: np.ndarray, *,
        records: int = 256, batch_size: int = 64, seed: int = 0,
    ):  # fmt: skip
        draw = rng(seed, "monitor")
        frame = store.records.iloc[rows]
        rows = np.asarray(rows)[frame["report_id"].to_numpy() >= 0]
        rows = np.sort(draw.permutation(rows)[:records])
        frame = store.records.iloc[rows]
        own = frame["report_id"].to_numpy()
        ids, first = np.unique(own, return_index=True)
        if len(ids) < 2:
            raise DBetaError(f"{len(ids)} distinct report(s) among the validation records")
        far = NegativeTable.build(frame["text"].iloc[first].tolist(), TfidfEmbedder(), 64, ids)
        other = RandomNegatives(own, exclude_equal=True)
        self.maker = BatchMaker(
            store, rows, tokenizer, config, _as_in_training(config, store, rows, far),
            batch_size=min(batch_size, len(rows)), seed=seed, purpose="validation",
        )  # fmt: skip
        self.texts = {"own": own, "random": other.sample(own, draw), "far": far.sample(own, draw)}
        self.leaks = config.objective.negatives == "released"
        self.partner = other_patients(frame["patient_id"].to_numpy(), draw)
        self.noise = draw.random((len(rows), config.ecg.tokens), dtype=np.float32)

    @torch.no_grad()
    def measure(
        self, model: DBeta, autocast: Callable[[], AbstractContextManager] = nullcontext
    ) -> dict[str, float]:
        """`val_<loss>` means and `val_etm_*` shares of right answers, 0..1, in evaluation mode."""
        was_training = model.training
        model.eval()
        try:
            with autocast():
                values = {**self._losses(model), **self._matching(model)}
        finally:
            model.train(was_training)
        return {f"val_{name}": value for name, value in values.items()}

    def _losses(self, model: DBeta) -> dict[str, float]:
        steps = max(1, len(self.maker.rows) // self.maker.batch_size)
        outputs = [model(self.maker[step].to(model.device)).losses for step in range(steps)]
        return {n: torch.stack([o[n].float() for o in outputs]).mean().item() for n in LOSSES}

    def _matching(self, model: DBeta) -> dict[str, float]:
        """Accuracy on own and wrong texts, half each, with the true ECGs and with shuffled ones.

        Of a run with the released collator's leak also `etm_leak`: a wrong pair is then the own
        text beneath the padding mask of the far one, as in its training.
        """
        shares, wrong = {}, ("random", "far", *(("leak",) if self.leaks else ()))
        for suffix, partner in (("", np.arange(len(self.partner))), ("_shuffled", self.partner)):
            called = {kind: self._aligned(model, partner, kind) for kind in ("own", *wrong)}
            for kind in wrong:
                right = called["own"].mean() + (1 - called[kind]).mean()
                shares[f"etm_{kind}{suffix}"] = float(right / 2)
        return shares

    def _aligned(self, model: DBeta, partner: np.ndarray, kind: str) -> np.ndarray:
        """Float 0/1 `[M]`: does the head call text `kind` and the partner's ECG a pair?

        ECG tokens are masked as in training, by fixed noise; no word is hidden, no lead dropped.
        """
        maker, answers, device = self.maker, [], model.device
        for start in range(0, len(partner), maker.batch_size):
            part = slice(start, start + maker.batch_size)
            rows = partner[part]
            ids, is_token = self._words(kind, part)
            inputs = (
                maker.store.ecg(maker.rows[rows]), maker.present[rows], ids,
                is_token.astype(np.int64), self.noise[part],
            )  # fmt: skip
            ecg, leads, ids, mask, noise = (torch.from_numpy(x).to(device) for x in inputs)
            streams = model.streams(model.present(ecg, leads), ids, mask, noise)
            answers.append(model.etm_head(streams.fused).argmax(1).float())
        return torch.cat(answers).cpu().numpy()

    def _words(self, kind: str, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Ids `[n, L]` and bool mask `[n, L]` of the texts `kind`; "leak": own ids, far mask."""
        tokens = self.maker.tokens
        text, mask = (
            self.texts[k][part] for k in (("own", "far") if kind == "leak" else [kind] * 2)
        )
        width = int(max(tokens.lengths(text).max(), tokens.lengths(mask).max()))
        return tokens.padded(text, width)[0], tokens.padded(mask, width)[1]


def _as_in_training(
    config: DBetaConfig, store: Any, rows: np.ndarray, far: NegativeTable
) -> Negatives:
    """What the validation losses' wrong texts are drawn from: the run's way, of these reports.

    Where one report stands in half of the records or more, balanced negatives do not exist; then a
    random other one.
    """
    objective, own = config.objective, store.records["report_id"].to_numpy()[rows]
    if objective.negatives == "random":
        return RandomNegatives(own)
    ids, texts, counts = counted_reports(store, rows)
    if objective.negatives in RIVALS:
        return RIVALS[objective.negatives](texts, TfidfEmbedder(), report_ids=ids)
    if objective.negatives != "balanced":
        return far
    if 2 * counts.max() >= counts.sum():
        return RandomNegatives(own, exclude_equal=True)
    tau = objective.negatives_tau
    return BalancedNegatives.build(texts, counts, TfidfEmbedder(), tau, ids)


def other_patients(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation `[n]` in which nobody meets a record of the same patient.

    Patients stand in random order, each one's records together, and the row is turned by the
    largest number of records that one has. Impossible, and then not fully reached, only when one
    patient has more than half of the records.
    """
    _, number = np.unique(patients, return_inverse=True)
    order = np.lexsort((rng.random(len(number)), rng.permutation(number.max() + 1)[number]))
    partner = np.empty(len(number), dtype=np.int64)
    partner[order] = np.roll(order, np.bincount(number).max())
    return partner
