"""Pre-training on Accelerate (paper section 4: Adam, tri-stage schedule, batch 128)."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
    InitProcessGroupKwargs,
)
from torch import nn

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import sha256_bytes
from dbeta_lib.n3s import Negatives
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.checkpoints import load_weights, save_model_folder, weights_hash
from dbeta_lib.training.loop import Loop
from dbeta_lib.training.monitor import LOSSES, Monitor
from dbeta_lib.training.run_folder import RunFolder
from dbeta_lib.training.settings import PretrainConfig, Summary
from dbeta_lib.training.sources import DECIDING, code_hash
from dbeta_lib.training.start import negatives_for
from dbeta_lib.training.termination import Termination

MINING = timedelta(hours=6)  # the other processes wait while the first makes a table of negatives


def pretrain(
    model: nn.Module,
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

    model: a DBeta, or a comparison model: by the same loop, on the same batches.
    negatives: what the config names, by default. rows: of the store; the training split by default.
    settings, overrides: see `PretrainConfig`. resume: go on from the last checkpoint in `out_dir`.
    fresh: remove what an earlier run left there. Without either, only a folder without products of
    a run is trained into. A finished run of the same identity (config, data, settings, code and the
    weights before training) is not repeated: its weights are loaded into `model`. progress: bars.
    say: gets sentences about what is done.

    Leaves `model/`, `curves.csv`, `tensorboard/`, `checkpoints/` and, last, `summary.json`; with
    `mem_first` also `mem-alone/`, the model when it had read no text.
    Raises DBetaError when the loss is no longer finite or explodes (naming step, records and last
    checkpoint), when the disk or the memory is full, when a worker is lost, when what is to be
    resumed was another run (naming the field), or when something is there that may not be removed;
    UsageError when several processes would compute another loss than one; Stopped after SIGTERM,
    with a checkpoint.

    Started by `accelerate launch` it is one run of several processes, on GPUs of one or more
    machines that share `out_dir`: each computes its slice of the batch, the losses are those of the
    whole batch, and the run can be gone on with by any number of processes that divides it.
    """
    run = _Run(model, store, PretrainConfig.of(settings, **overrides), progress)
    say = say if run.is_main else _say_nothing
    run.gather(Path(out_dir), negatives, rows, say)
    finished = run.begin(resume, fresh, say)
    try:
        if finished is None:
            with Termination() as asked:
                run.loop.train(asked)
            finished = run.finish()
    except (KeyboardInterrupt, DBetaError):
        run.note_weights()
        raise
    run.note_weights()
    return finished


def _accelerator(find_unused: bool) -> Accelerator:
    """Processes and devices alone: precision and parts of a batch are the settings' affair.

    `accelerate launch` hands on what the user's `accelerate config` says of them, which would
    change a run behind its identity's back. The others wait as long as the first process mines.
    """
    return Accelerator(
        mixed_precision="no",
        dynamo_backend="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=find_unused),
            InitProcessGroupKwargs(timeout=MINING),
        ],
    )


class _Run:
    """What a run needs before its first step and leaves after its last."""

    def __init__(self, model: nn.Module, store: Any, settings: PretrainConfig, progress: bool):
        weights = [getattr(model.config.objective, f"{name}_weight") for name in LOSSES[:-1]]
        if settings.mem_first and not model.config.objective.mem_weight:
            raise UsageError("mem_first asks for steps of MEM alone, and mem_weight is 0")
        unused = not all(weights) or settings.mem_first > 0
        self.accelerator = _accelerator(find_unused=unused)
        _check_processes(model, self.accelerator.num_processes, settings)
        self.device, self.is_main = self.accelerator.device, self.accelerator.is_main_process
        self.model, self.store, self.settings = model, store, settings
        self.progress = progress and self.is_main
        has_bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        self.precision = settings.precision
        if self.precision == "auto":
            self.precision = "bf16" if has_bf16 else "fp32"

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
            plain_steps=settings.mem_first, pack_texts=settings.pack_texts,
        )  # fmt: skip
        if settings.pack_texts and not self.maker.pack_texts:
            say("pack_texts: texts keep their padding, since these switches attend to it")
        self.monitor = None
        if settings.eval_every and self.is_main:
            try:
                self.monitor = getattr(self.model, "monitor", Monitor)(
                    config, self.store, self.model.tokenizer, self.store.rows("val"),
                    records=settings.eval_records, batch_size=settings.batch_size,
                )  # fmt: skip
            except DBetaError as error:
                say(f"no validation during training: {error}")
        read = getattr(self.store, "stores", [self.store])  # several where they are joined
        identity = {
            "config": config.to_dict(), "store": self.store.fingerprint,
            "stores": [[s.meta["name"], s.fingerprint] for s in read],
            "settings": {**settings.identity(), "precision": self.precision},
            "rows": sha256_bytes(self.maker.rows.tobytes())[:16],
            "reports_and_tokenizer": self.maker.tokens.fingerprint(),
            "negatives": negatives.describe(), "library_code": _code_of(self.model),
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
        self.loop = Loop(
            self.accelerator, self.model, self.maker, self.monitor, self.folder, self.settings,
            precision=self.precision, progress=self.progress,
        )  # fmt: skip
        if found:
            self.loop.restore(*found)
            steps = f"step {self.loop.step} of {self.settings.steps}"
            say(f"{self.folder.path}: resumed after {steps}")
        elif self.maker.left_out:
            say(f"{self.maker.left_out} training records have no report and are left out")
        return None

    def finish(self) -> Summary:
        """`model/`, then `summary.json`."""
        self.model.eval()
        settings, loop = self.settings, self.loop
        pace = loop.clock.pace(settings.steps)
        records = settings.steps * settings.batch_size
        summary = Summary(
            steps=settings.steps, records=records, left_out=self.maker.left_out,
            losses=loop.last_row, validation=loop.validation, untrained=loop.untrained,
            seconds=round(loop.clock.seconds, 3),
            records_per_s=round(settings.batch_size / pace, 3),
            device=self.device.type, precision=self.precision, model=str(self.folder.model),
            identity=self.folder.identity,
        )  # fmt: skip
        if self.is_main:
            save_model_folder(self.model, self.folder.model)
            self.folder.checkpoints.prune()
            summary.save(self.folder.path / "summary.json")
        self.accelerator.wait_for_everyone()
        return summary


def _code_of(model: nn.Module) -> str:
    """Hash of the code that decides the weights; a comparison model's own `sources` count too."""
    own = getattr(model, "sources", ())
    return code_hash(deciding=(*DECIDING, *own)) if own else code_hash()


def _check_processes(model: nn.Module, processes: int, settings: PretrainConfig) -> None:
    """Refuse what several processes would compute otherwise than one."""
    parts = processes * settings.accumulate
    if settings.batch_size % parts:
        raise UsageError(
            f"batch_size={settings.batch_size} is no multiple of {processes} process(es) times "
            f"accumulate={settings.accumulate}"
        )
    if processes > 1 and not getattr(model, "gathers", True):
        raise UsageError(
            f"{type(model).__name__} cannot be trained by {processes} processes: its losses or its "
            "norms are taken over a batch, and each process would take them over its part only; "
            "start one process"
        )


def _say_nothing(sentence: str) -> None:
    """For processes other than the main one."""
