"""Validation of a comparison model while it trains: its losses on the records D-BETA's are of."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import DBetaError
from dbeta_lib.n3s import RandomNegatives
from dbeta_lib.seeds import int_seed, rng
from dbeta_lib.training.batches import BatchMaker


class LossMonitor:
    """Means of the losses over validation records, in evaluation mode.

    rows: validation rows of the store; of those with a report at most `records`, drawn from `seed`
    as `training.monitor.Monitor` draws them. What a model draws itself (views, masks) is the same
    at each call. Raises DBetaError when fewer than two records have a report.
    """

    def __init__(
        self, config: DBetaConfig, store: Any, tokenizer: Any, rows: np.ndarray, *,
        records: int = 256, batch_size: int = 64, seed: int = 0,
    ):  # fmt: skip
        reports = store.records["report_id"].to_numpy()
        rows = np.asarray(rows)[reports[rows] >= 0]
        rows = np.sort(rng(seed, "monitor").permutation(rows)[:records])
        if len(rows) < 2:
            raise DBetaError(f"{len(rows)} validation record(s) with a report")
        self.seed = seed
        self.maker = BatchMaker(
            store, rows, tokenizer, config, RandomNegatives(reports[rows]),
            batch_size=min(batch_size, len(rows)), seed=seed, purpose="validation",
        )  # fmt: skip

    @torch.no_grad()
    def measure(
        self, model, autocast: Callable[[], AbstractContextManager] = nullcontext
    ) -> dict[str, float]:
        """`val_<loss>` for each loss of the model; mode and random state are left as they were."""
        was_training, found = model.training, []
        model.eval()
        devices = [model.device] if model.device.type == "cuda" else []
        try:
            with autocast(), torch.random.fork_rng(devices):
                for step in range(max(1, len(self.maker.rows) // self.maker.batch_size)):
                    torch.manual_seed(int_seed(self.seed, "validation", step))
                    found.append(model(self.maker[step].to(model.device)).losses)
        finally:
            model.train(was_training)
        names = model.loss_names
        return {f"val_{n}": torch.stack([o[n].float() for o in found]).mean().item() for n in names}
