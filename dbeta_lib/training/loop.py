"""Pre-training: the loop, on Accelerate (paper section 4: Adam, tri-stage schedule, batch 128).

Every step draws its batch and its dropout from (seed, step), so a resumed run is the uninterrupted
run: bit by bit on a CPU. The device is asked for numbers only where a row of the curves is written.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from dbeta_lib.errors import DBetaError, Stopped
from dbeta_lib.model import DBeta, Output
from dbeta_lib.n3s import Negatives
from dbeta_lib.seeds import int_seed
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.checkpoints import Checkpoints, load_training, load_weights, read_run
from dbeta_lib.training.curves import Curves
from dbeta_lib.training.monitor import COLUMNS, LOSSES, Monitor
from dbeta_lib.training.schedule import tri_stage_schedule
from dbeta_lib.training.settings import PretrainConfig, Summary, first_difference
from dbeta_lib.training.signals import Termination, ignore_termination
from dbeta_lib.training.start import negatives_for

RECORDED = (*LOSSES, "etm_accuracy", "grad_norm")  # of each step, kept on the device
LEFT_BEHIND = ("checkpoints", "tensorboard", "model", "curves.csv", "summary.json")


def pretrain(
    model: DBeta,
    store: Any,
    out_dir: Path | str,
    *,
    negatives: Negatives | None = None,
    rows: np.ndarray | None = None,
    settings: PretrainConfig | None = None,
    resume: bool = False,
    fresh: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
    **overrides: Any,
) -> Summary:
    """Train `model` in place on a store's training split; its folder is `out_dir/model`.

    negatives: what the config names, by default. rows: of the store; the training split by default.
    settings, overrides: see `PretrainConfig`. resume: go on from the last checkpoint in `out_dir`.
    fresh: forget what is there. A finished run of the same identity is not repeated: its weights
    are loaded into `model`. progress: bars. say: gets one sentence about what is done.

    Leaves `model/`, `curves.csv`, `tensorboard/`, `checkpoints/` and, last, `summary.json`.
    Raises DBetaError when the loss is no longer finite or explodes (naming step, records and last
    checkpoint), when the disk is full, or when what is to be resumed was another run (naming the
    field); Stopped after SIGTERM, with a checkpoint.
    """
    run = _Run(model, store, Path(out_dir), PretrainConfig.of(settings, **overrides), progress)
    run.gather(negatives, rows, say if run.is_main else _say_nothing)
    finished = run.begin(resume, fresh, say if run.is_main else _say_nothing)
    if finished is None:
        with Termination() as asked:
            run.train(asked)
        finished = run.finish()
    return finished


class _Run:
    """State of one run; `step` counts finished steps."""

    def __init__(self, model, store, out_dir: Path, settings: PretrainConfig, progress: bool):
        unused = any(not getattr(model.config.objective, f"{n}_weight") for n in LOSSES[:-1])
        ddp = DistributedDataParallelKwargs(find_unused_parameters=unused)
        self.accelerator = Accelerator(kwargs_handlers=[ddp])
        self.device, self.is_main = self.accelerator.device, self.accelerator.is_main_process
        self.model, self.store, self.out, self.settings = model, store, out_dir, settings
        self.progress = progress and self.is_main
        has_bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.precision = settings.precision
        if self.precision == "auto":
            self.precision = "bf16" if has_bf16 else "fp32"
        self.checkpoints = Checkpoints(out_dir / "checkpoints", settings.keep)
        self.step, self.first_loss, self.before = 0, 0.0, 0.0
        self.last_row: dict[str, float] = {}
        self.validation: dict[str, float] = {}
        self.untrained: dict[str, float] = {}
        self.started = time.perf_counter()

    # -- before the first step -------------------------------------------------------------------

    def gather(self, negatives, rows, say) -> None:
        """Batches, monitor, and the identity of the run."""
        config, settings = self.model.config, self.settings
        rows = self.store.rows("train") if rows is None else np.asarray(rows)
        with self.accelerator.main_process_first():
            negatives = negatives or negatives_for(config, self.store, rows, say=say)
        self.maker = BatchMaker(
            self.store, rows, self.model.tokenizer, config, negatives,
            batch_size=settings.batch_size, seed=settings.seed, progress=self.progress,
            rank=self.accelerator.process_index, world=self.accelerator.num_processes,
        )  # fmt: skip
        self.monitor = None
        if settings.eval_every and self.is_main:
            try:
                self.monitor = Monitor(
                    config, self.store, self.model.tokenizer, self.store.rows("val"),
                    records=settings.eval_records, batch_size=settings.batch_size,
                )  # fmt: skip
            except DBetaError as error:
                say(f"no validation during training: {error}")
        self.identity = {
            "config": config.to_dict(), "settings": settings.identity(),
            "store": self.store.fingerprint, "rows": _digest(self.maker.rows),
            "reports_and_tokenizer": self.maker.tokens.fingerprint(),
            "negatives": negatives.describe(),
        }  # fmt: skip
        self.identity["settings"]["precision"] = self.precision

    def begin(self, resume: bool, fresh: bool, say) -> Summary | None:
        """A finished run's summary; else make ready to train, from a checkpoint or anew."""
        finished = None if fresh else self._finished(resume)
        if finished:
            load_weights(Path(finished.model), self.model)
            self.model.to(self.device)
            say(f"{self.out}: finished before with the same settings; not trained again")
            return finished
        last = self.checkpoints.latest() if resume and not fresh else None
        run = read_run(last) if last else None
        if run:
            self._refuse_another(run["identity"], last)
            load_weights(last, self.model)
        elif self.is_main:
            self._clear()
        self.accelerator.wait_for_everyone()
        self._prepare()
        if run:
            load_training(last, self.optimizer, self.schedule)
            self._restore(run)
            say(f"{self.out}: resumed after step {self.step} of {self.settings.steps}")
        if self.maker.left_out and not run:
            say(f"{self.maker.left_out} training records have no report and are left out")
        return None

    def _finished(self, resume: bool) -> Summary | None:
        path = self.out / "summary.json"
        if not path.exists():
            return None
        finished = Summary.open(path)
        if not first_difference(finished.identity, self.identity):
            return finished
        if resume:
            self._refuse_another(finished.identity, path)
        return None

    def _refuse_another(self, before: dict, where: Path) -> None:
        difference = first_difference(before, self.identity)
        if difference:
            raise DBetaError(
                f"{where} is of another run: {difference}; give the same value, another folder, or "
                "start anew (fresh)"
            )

    def _clear(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        for name in LEFT_BEHIND:
            path = self.out / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _prepare(self) -> None:
        settings = self.settings
        self.wrapped = self.accelerator.prepare_model(self.model)
        self.model.train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(
            self.parameters, lr=settings.lr, betas=settings.betas, eps=settings.eps,
            weight_decay=settings.weight_decay, fused=self.device.type == "cuda",
        )  # fmt: skip
        self.schedule = tri_stage_schedule(
            self.optimizer, settings.steps, stages=settings.stages,
            init_scale=settings.init_scale, final_scale=settings.final_scale,
        )  # fmt: skip
        # One row per step since the last row of the curves; read only when that row is written.
        self.recorded = torch.zeros(settings.log_every, len(RECORDED), device=self.device)

    def _restore(self, run: dict) -> None:
        self.step, self.first_loss = run["step"], run["first_loss"]
        self.before, self.last_row = run["seconds"], run["last_row"]
        self.validation, self.untrained = run["validation"], run["untrained"]
        pending = torch.tensor(run["pending"], device=self.device).reshape(-1, len(RECORDED))
        if len(pending) >= self.settings.log_every:
            raise DBetaError(
                f"log_every={self.settings.log_every} is less than the {len(pending)} steps that "
                "the checkpoint has not yet put in the curves; give the value it was trained with"
            )
        self.recorded[: len(pending)] = pending

    # -- the steps -------------------------------------------------------------------------------

    def train(self, asked: Termination) -> None:
        """All steps that are left; leaves a checkpoint of the last one."""
        settings, total = self.settings, self.settings.steps
        self.curves = self._open_curves()
        if self.step == 0:
            self._row(self._evaluate())
        batches = self._batches()
        bar = tqdm(
            total=total * settings.batch_size, initial=self.step * settings.batch_size,
            unit="rec", unit_scale=True, desc="pre-training", disable=not self.progress,
        )  # fmt: skip
        with bar:
            for batch in batches:
                self._record(*self._one_step(batch.to(self.device)))
                bar.update(settings.batch_size)
                at_end = self.step == total
                values = self._log(bar) if at_end or self.step % settings.log_every == 0 else {}
                if settings.eval_every and (at_end or self.step % settings.eval_every == 0):
                    values |= self._evaluate()
                self._row(values)
                every = settings.checkpoint_every
                if at_end or (every and self.step % every == 0):
                    self._checkpoint()
                if not at_end and self._stop_agreed(asked):
                    self._stop()
        self._close_curves()
