"""Pre-training: the loop, on Accelerate (paper section 4: Adam, tri-stage schedule, batch 128).

Every step draws its batch and its dropout from (seed, step), so a resumed run is the uninterrupted
run: bit by bit on a CPU. The device is asked for numbers only where a row of the curves is written.
"""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch.utils.data import DataLoader

from dbeta_lib.batch import Batch
from dbeta_lib.errors import DBetaError, Stopped, UsageError
from dbeta_lib.files import sha256_bytes
from dbeta_lib.model import DBeta
from dbeta_lib.n3s import Negatives
from dbeta_lib.progress import tqdm
from dbeta_lib.seeds import int_seed
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.checkpoints import (
    load_training,
    load_weights,
    save_model_folder,
    weights_hash,
)
from dbeta_lib.training.clock import Clock
from dbeta_lib.training.curves import Curves
from dbeta_lib.training.monitor import COLUMNS, LOSSES, Monitor
from dbeta_lib.training.recorder import RECORDED, Diverged, Objective, Recorder
from dbeta_lib.training.run_folder import RunFolder
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig, Summary
from dbeta_lib.training.sources import code_hash
from dbeta_lib.training.start import negatives_for
from dbeta_lib.training.termination import Termination, ignore_termination


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
    fresh: remove what an earlier run left there. Without either, only a folder without products of
    a run is trained into. A finished run of the same identity (config, data, settings, code and the
    weights before training) is not repeated: its weights are loaded into `model`. progress: bars.
    say: gets sentences about what is done.

    Leaves `model/`, `curves.csv`, `tensorboard/`, `checkpoints/` and, last, `summary.json`.
    Raises DBetaError when the loss is no longer finite or explodes (naming step, records and last
    checkpoint), when the disk is full, when what is to be resumed was another run (naming the
    field), or when something is there that may not be removed; UsageError when several processes
    would compute another loss than one; Stopped after SIGTERM, with a checkpoint.
    """
    run = _Run(model, store, PretrainConfig.of(settings, **overrides), progress)
    say = say if run.is_main else _say_nothing
    run.gather(Path(out_dir), negatives, rows, say)
    finished = run.begin(resume, fresh, say)
    try:
        if finished is None:
            with Termination() as asked:
                run.train(asked)
            finished = run.finish()
    except (KeyboardInterrupt, DBetaError):
        run.note_weights()
        raise
    run.note_weights()
    return finished


class _Run:
    """State of one run; `step` counts finished steps."""

    def __init__(self, model: DBeta, store: Any, settings: PretrainConfig, progress: bool):
        unused = any(not getattr(model.config.objective, f"{n}_weight") for n in LOSSES[:-1])
        ddp = DistributedDataParallelKwargs(find_unused_parameters=unused)
        self.accelerator = Accelerator(kwargs_handlers=[ddp])
        _refuse_losses_over_processes(model, self.accelerator.num_processes)
        self.device, self.is_main = self.accelerator.device, self.accelerator.is_main_process
        self.model, self.store, self.settings = model, store, settings
        self.progress = progress and self.is_main
        has_bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.precision = settings.precision
        if self.precision == "auto":
            self.precision = "bf16" if has_bf16 else "fp32"
        self.step = 0
        self.before = 0.0
        self.last_row: dict[str, float] = {}
        self.validation: dict[str, float] = {}
        self.untrained: dict[str, float] = {}

    # -- before the first step -------------------------------------------------------------------

    def gather(self, out_dir: Path, negatives, rows, say) -> None:
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
        identity = {
            "config": config.to_dict(), "store": self.store.fingerprint,
            "settings": {**settings.identity(), "precision": self.precision},
            "rows": sha256_bytes(self.maker.rows.tobytes())[:16],
            "reports_and_tokenizer": self.maker.tokens.fingerprint(),
            "negatives": negatives.describe(), "library_code": code_hash(),
            "weights_before": self._weights_before(),
        }  # fmt: skip
        identity = json.loads(json.dumps(identity))  # as it will be read again
        self.folder = RunFolder(out_dir, identity, settings.keep)

    def _weights_before(self) -> str:
        """Hash of the weights that the run begins, or has begun, with.

        A notebook gives the same object again after a run ended or was interrupted: training has
        changed it in place, and that run is still the one to be gone on with.
        """
        self.weights = weights_hash(self.model)
        after, before = getattr(self.model, "pretrained_from", ("", ""))
        return before if after == self.weights else self.weights

    def note_weights(self) -> None:
        """Keep with the model what its weights, as they are now, have come from."""
        before = self.folder.identity["weights_before"]
        self.model.pretrained_from = (weights_hash(self.model), before)

    def _own_up(self, say) -> None:
        """A run from the first step begins with the weights as they are: its identity says so."""
        if self.folder.identity["weights_before"] != self.weights:
            self.folder.identity["weights_before"] = self.weights
            say("the model was trained before; this run begins with its weights as they are now")

    def begin(self, resume: bool, fresh: bool, say) -> Summary | None:
        """A finished run's summary; else make ready to train, from a checkpoint or anew."""
        finished = None if fresh else self.folder.finished(resume)
        if finished:
            load_weights(self.folder.model, self.model)
            self.model.to(self.device).eval()
            say(f"{self.folder.path}: finished before with the same settings; not trained again")
            return finished
        found = self.folder.unfinished() if resume and not fresh else None
        if found:
            load_weights(found[0], self.model)
        elif self.folder.make_way(resume, fresh, self.is_main):
            say(f"{self.folder.path}: what an earlier run left there was removed; training anew")
        if not found:
            self._own_up(say)
        self.accelerator.wait_for_everyone()
        self._prepare()
        if found:
            load_training(found[0], self.optimizer, self.schedule)
            self._restore(found[1])
            say(f"{self.folder.path}: resumed after step {self.step} of {self.settings.steps}")
        elif self.maker.left_out:
            say(f"{self.maker.left_out} training records have no report and are left out")
        return None

    def _prepare(self) -> None:
        settings = self.settings
        self.objective = self.accelerator.prepare_model(Objective(self.model))
        self.model.train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        fused = self.device.type in ("cuda", "cpu")
        self.optimizer, self.schedule = optimizer_and_schedule(self.parameters, settings, fused)
        self.recorder = Recorder(
            settings.log_every, settings.explode, self.device,
            lambda rows: self.accelerator.reduce(rows, "mean"),
        )  # fmt: skip

    def _restore(self, run: dict) -> None:
        self.step, self.before = run["step"], run["seconds"]
        self.last_row = run["last_row"]
        self.validation, self.untrained = run["validation"], run["untrained"]
        self.recorder.restore(run["pending"], run["first_loss"])

    # -- the steps -------------------------------------------------------------------------------

    def train(self, asked: Termination) -> None:
        """All steps that are left; leaves a checkpoint of the last one."""
        settings, total = self.settings, self.settings.steps
        self.clock, self.curves = Clock(self.step, self.before), None
        if self.is_main:
            columns = ("lr", *RECORDED, *COLUMNS)
            self.curves = Curves(self.folder.path, columns, self.step, settings.tensorboard)
        if self.step == 0:
            self.untrained = self._evaluate()
            self._row(self.untrained)
            self.clock.skip(0)
        bar = tqdm(
            total=total * settings.batch_size, initial=self.step * settings.batch_size,
            unit=" records", unit_scale=True, desc="pre-training", disable=not self.progress,
        )  # fmt: skip
        with bar:
            for batch in self._batches():
                self._one_step(batch.to(self.device))
                bar.update(settings.batch_size)
                at_end = self.step == total
                values = {}
                if at_end or self.step % settings.log_every == 0:
                    values |= self._log(bar)
                if settings.eval_every and (at_end or self.step % settings.eval_every == 0):
                    values |= self._evaluate()
                    self.clock.skip(self.step)
                self._row(values)
                every = settings.checkpoint_every
                if at_end or (every and self.step % every == 0):
                    self._checkpoint()
                    self.clock.skip(self.step)
                if not at_end and self._stop_agreed(asked):
                    self._stop()
        if self.curves:
            self.curves.close()

    def _batches(self) -> DataLoader:
        steps, workers = range(self.step, self.settings.steps), self.settings.workers
        return DataLoader(
            self.maker, batch_size=None, sampler=steps, num_workers=workers,
            worker_init_fn=ignore_termination if workers else None,
        )  # fmt: skip

    def _one_step(self, batch: Batch) -> None:
        settings = self.settings
        # Dropout follows from the step, not from those before it: a resumed run is the same run.
        rank = self.accelerator.process_index
        torch.manual_seed(int_seed(settings.seed, "step", self.step, rank))
        with self._autocast():
            loss, numbers = self.objective(batch)
        self.accelerator.backward(loss)
        if settings.clip_norm:
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm)
        else:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
        self.lr = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.recorder.add(numbers, norm)
        self.step += 1

    def _autocast(self):
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _log(self, bar: Any) -> dict[str, float]:
        """A row of the curves: means over the steps since the row before."""
        self.last_row = self._checked(self.recorder.means)
        shown = {name: f"{self.last_row[name]:.3f}" for name in (*LOSSES, "etm_accuracy")}
        for name in ("etm_far", "etm_far_shuffled") if self.validation else ():
            shown[name] = f"{self.validation[f'val_{name}']:.2f}"
        bar.set_postfix(shown, refresh=False)
        pace = self.clock.row(self.step)
        if self.curves:
            self.curves.extra(self.step, {"records_per_s": self.settings.batch_size / pace})
        return {"lr": self.lr, **self.last_row}

    def _checked(self, read: Callable[[int], Any]) -> Any:
        """What the recorder reads; a diverged loss as a sentence naming the batch's records."""
        try:
            return read(self.step)
        except Diverged as error:
            records = ", ".join(self.maker.record_ids(error.step - 1))
            last = self.folder.checkpoints.latest() or "none"
            raise DBetaError(
                f"{error}; the batch held the records {records}; last good checkpoint: {last}; "
                "look at these records or lower lr"
            ) from error

    def _evaluate(self) -> dict[str, float]:
        if self.monitor:
            self.validation = self.monitor.measure(self.model, self._autocast)
        self.accelerator.wait_for_everyone()
        return self.validation

    def _row(self, values: dict[str, float]) -> None:
        if values and self.curves:
            self.curves.add(self.step, values)

    def _checkpoint(self) -> Path | None:
        """Nothing that is not finite is ever kept as a good checkpoint."""
        rows = self._checked(self.recorder.read)
        self._checked(self._weights_finite)
        path = None
        if self.is_main:
            self.curves.sync()
            parts = {"optimizer": self.optimizer, "schedule": self.schedule}
            training = {name: part.state_dict() for name, part in parts.items()}
            path = self.folder.checkpoints.save(self.step, self.model, training, {
                "identity": self.folder.identity, "pending": rows,
                "first_loss": self.recorder.first, "last_row": self.last_row,
                "validation": self.validation, "untrained": self.untrained,
                "seconds": self.clock.seconds,
            })  # fmt: skip
        self.accelerator.wait_for_everyone()
        return path

    def _weights_finite(self, step: int) -> None:
        if not torch.stack([p.detach().isfinite().all() for p in self.parameters]).all():
            raise Diverged(step, "the loss was finite, but the weights after it are not")

    def _stop_agreed(self, asked: Termination) -> bool:
        """Several processes stop after the same step: they compare notes when a row is written."""
        if self.accelerator.num_processes == 1:
            return asked.stop
        if self.step % self.settings.log_every:
            return False
        noted = torch.tensor(float(asked.stop), device=self.device)
        return self.accelerator.reduce(noted, "sum").item() > 0

    def _stop(self) -> None:
        path = self._checkpoint() or self.folder.checkpoints.latest()
        if self.curves:
            self.curves.close()
        raise Stopped(
            f"stopped by SIGTERM after step {self.step}; {path} is written, resume from it"
        )

    # -- after the last step ---------------------------------------------------------------------

    def finish(self) -> Summary:
        """`model/`, then `summary.json`."""
        self.model.eval()
        settings, pace = self.settings, self.clock.pace(self.settings.steps)
        records = settings.steps * settings.batch_size
        summary = Summary(
            steps=settings.steps, records=records, left_out=self.maker.left_out,
            losses=self.last_row, validation=self.validation, untrained=self.untrained,
            seconds=round(self.clock.seconds, 3),
            records_per_s=round(settings.batch_size / pace, 3),
            device=self.device.type, precision=self.precision, model=str(self.folder.model),
            identity=self.folder.identity,
        )  # fmt: skip
        if self.is_main:
            save_model_folder(self.model, self.folder.model)
            summary.save(self.folder.path / "summary.json")
        self.accelerator.wait_for_everyone()
        return summary


def _refuse_losses_over_processes(model: DBeta, processes: int) -> None:
    """Only ETM's mean over processes is the mean over the batch; the others would train otherwise.

    ETS pairs all records of a batch, and MLM and MEM average over words and patches, of which each
    process has another number. Gathering the batch with its gradients is not built yet.
    """
    weights = {n: getattr(model.config.objective, f"{n}_weight") for n in ("ets", "mlm", "mem")}
    used = [f"{name}_weight={weight:g}" for name, weight in weights.items() if weight]
    if processes > 1 and used:
        raise UsageError(
            f"runs over several processes are not supported yet with {', '.join(used)}: each of "
            f"the {processes} processes would see its part of the batch only; start one process"
        )


def _say_nothing(sentence: str) -> None:
    """For processes other than the main one."""
