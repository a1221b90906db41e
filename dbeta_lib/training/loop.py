"""The steps of a pre-training run: forward, backward, curves, checkpoints, stopping.

Every step draws its batch and its dropout from (seed, step), so a resumed run is the uninterrupted
run: bit by bit on a CPU. The device is asked for numbers only where a row of the curves is written.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from traceback import clear_frames
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dbeta_lib.batch import Batch
from dbeta_lib.errors import DBetaError, Stopped
from dbeta_lib.processes import Processes
from dbeta_lib.progress import tqdm
from dbeta_lib.seeds import int_seed
from dbeta_lib.training.batches import BatchMaker, InParts
from dbeta_lib.training.checkpoints import load_training, save_model_folder
from dbeta_lib.training.clock import Clock
from dbeta_lib.training.curves import Curves
from dbeta_lib.training.failures import lost_workers_told, named
from dbeta_lib.training.layers import prepared
from dbeta_lib.training.monitor import Monitor
from dbeta_lib.training.recorder import Diverged, Objective, Recorder, columns_of
from dbeta_lib.training.run_folder import RunFolder
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig
from dbeta_lib.training.termination import Termination, ignore_termination

STOP_EVERY = 10  # steps after which several processes ask each other whether to stop


class Loop:
    """Trains `model` on the batches of `maker`; `step` counts finished steps.

    model: a DBeta, or a comparison model, which names its losses (`comparisons.base`).
    monitor: measures on validation records, on the main process; None for no validation. folder:
    where curves and checkpoints go. precision: "fp32" or "bf16". progress: a bar.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        maker: BatchMaker,
        monitor: Monitor | None,
        folder: RunFolder,
        settings: PretrainConfig,
        *,
        precision: str = "fp32",
        progress: bool = True,
    ):
        self.accelerator, self.device = accelerator, accelerator.device
        self.model, self.maker, self.monitor, self.folder = model, maker, monitor, folder
        self.settings, self.precision, self.progress = settings, precision, progress
        processes = Processes(accelerator.process_index, accelerator.num_processes)
        self.objective = accelerator.prepare_model(Objective(model, processes))
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        fused = self.device.type in ("cuda", "cpu")
        of_text = getattr(model, "text_encoder", nn.Module()).parameters()
        self.optimizer, self.schedule = optimizer_and_schedule(
            self.parameters, settings, fused, of_text
        )
        names, self.validated = columns_of(model)
        self.recorder = Recorder(
            settings.log_every, settings.explode, self.device,
            lambda rows: accelerator.reduce(rows, "mean"), settings.mem_first, names,
        )  # fmt: skip
        self.step, self.before = 0, 0.0
        self.last_row: dict[str, float] = {}
        self.validation: dict[str, float] = {}
        self.untrained: dict[str, float] = {}

    def restore(self, checkpoint: Path, run: dict) -> None:
        """Go on where a checkpoint stands; the weights in it are in the model already."""
        load_training(checkpoint, self.optimizer, self.schedule)
        self.step, self.before = run["step"], run["seconds"]
        self.last_row = run["last_row"]
        self.validation, self.untrained = run["validation"], run["untrained"]
        self.recorder.restore(run["pending"], run["first_loss"])

    def train(self, asked: Termination) -> None:
        """All steps that are left; leaves a checkpoint of the last one."""
        try:
            with prepared(self.model, self.settings), lost_workers_told():
                self._train(asked)
        except (RuntimeError, MemoryError) as error:
            clear_frames(error.__traceback__)  # what the step held, and the workers, are let go
            last = self.folder.checkpoints.latest()
            world = self.accelerator.num_processes
            found = named(error, self.settings, self.step + 1, self.device, world, last)
            if found is error:
                raise
            raise found from error

    def _train(self, asked: Termination) -> None:
        settings, total = self.settings, self.settings.steps
        self.model.train()
        self.clock, self.curves = Clock(self.step, self.before), None
        if self.accelerator.is_main_process:
            columns = ("lr", *self.recorder.names, *self.validated)
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
            for parts in self._batches():
                self._one_step(parts)
                bar.update(settings.batch_size)
                at_end = self.step == total
                values = {}
                if at_end or self.step % settings.log_every == 0:
                    values |= self._log(bar)
                if settings.eval_every and (at_end or self.step % settings.eval_every == 0):
                    values |= self._evaluate()
                    self.clock.skip(self.step)
                self._row(values)
                if self.step == settings.mem_first and self._has_read_no_text():
                    save_model_folder(self.model, self.folder.mem_alone)
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
            InParts(self.maker, self.settings.accumulate), batch_size=None, sampler=steps,
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=ignore_termination if workers else None,
        )  # fmt: skip

    def _has_read_no_text(self) -> bool:
        """On the main process: MEM read the ECG before the fusion."""
        return self.accelerator.is_main_process and self.model.config.mem.mem_layer == 0

    def _one_step(self, parts: list[Batch]) -> None:
        settings = self.settings
        # Dropout follows from the step, not from those before it: a resumed run is the same run.
        rank = self.accelerator.process_index
        torch.manual_seed(int_seed(settings.seed, "step", self.step, rank))
        numbers = [self._add_gradient(part, part is parts[-1]) for part in parts]
        if settings.clip_norm:
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm)
        else:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
        self.lr = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.recorder.add(torch.stack(numbers).mean(0), norm)
        self.step += 1

    def _add_gradient(self, part: Batch, is_last: bool) -> Tensor:
        """Forward and backward for a part of the batch; its losses' numbers.

        Several processes average their gradients once, after the last part.
        """
        waiting = nullcontext() if is_last else self.accelerator.no_sync(self.objective)
        with waiting:
            with self._autocast():
                mem_alone = self.step < self.settings.mem_first
                loss, numbers = self.objective(part.to(self.device), mem_alone)
            self.accelerator.backward(loss / self.settings.accumulate)
        return numbers

    def _autocast(self):
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _log(self, bar: Any) -> dict[str, float]:
        """A row of the curves: means over the steps since the row before."""
        self.last_row = self._checked(self.recorder.means)
        names = [name for name in self.recorder.names if name in self.last_row]
        shown = {name: f"{self.last_row[name]:.3f}" for name in names if name != "grad_norm"}
        for name in ("etm_far", "etm_far_shuffled"):
            if f"val_{name}" in self.validation:
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
        if self.accelerator.is_main_process:
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
        """Several processes stop after the same step: they compare notes every few steps."""
        if self.accelerator.num_processes == 1:
            return asked.stop
        if self.step % min(self.settings.log_every, STOP_EVERY):
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
