"""What a pre-training run is told, and what it tells at its end."""

import dataclasses
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.files import read_json, write_json

OPTIMIZERS = ("adam", "adamw")
PRECISIONS = ("auto", "fp32", "bf16")
_POSITIVE = ("steps", "batch_size", "accumulate", "log_every", "keep", "lr", "text_lr_scale",
             "explode", "eval_records")  # fmt: skip


@dataclass(frozen=True)
class PretrainConfig:
    """Numbers of a run; the defaults are the paper's where it gives them.

    >>> PretrainConfig.of(steps=10, lr=1e-3).lr
    0.001
    """

    steps: int = 300_000  # optimizer steps
    batch_size: int = 128  # records per step, over all processes
    # Parts of a batch that go through the network one after the other, where memory is short. MLM,
    # MEM and ETM stay those of the whole batch; ETS pairs the records of each part only, so a
    # record meets batch_size / accumulate texts.
    accumulate: int = 1
    lr: float = 5e-5  # peak of the schedule
    # Published weights of a text encoder want a lower rate than what begins from nothing.
    text_lr_scale: float = 1.0  # learning rate of the text encoder / lr
    betas: tuple[float, float] = (0.9, 0.98)  # 0..1, of Adam
    eps: float = 1e-6  # of Adam
    weight_decay: float = 0.01  # apart from the gradient by "adamw", added to it by "adam"
    # The paper says Adam with weight decay 0.01; the framework of its forerunner M3AE decays apart
    # from the gradient under that name. Added to the gradient it stalls training at our sizes.
    optimizer: str = "adamw"  # "adamw" | "adam"
    # ETS makes the tokens of a record alike, and MEM cannot tell them apart again: it comes first.
    mem_first: int = 0  # steps at the start on the MEM loss alone, of records as they are
    clip_norm: float = 0.0  # largest gradient norm; 0 = not clipped (the paper names none)
    stages: tuple[float, float, float] = (0.1, 0.4, 0.5)  # shares of the steps: up, level, down
    init_scale: float = 0.01  # 0..1, learning rate at the start / peak
    final_scale: float = 0.05  # 0..1, learning rate at the end / peak
    seed: int = 0  # of order, negatives, masks, dropout
    precision: str = "auto"  # "auto": bf16 on a GPU that has it, else fp32 | "fp32" | "bf16"
    compile: bool = False  # layers by torch.compile: minutes at the start, faster steps on a GPU
    explode: float = 20.0  # stop when the total loss exceeds this many times the first step's
    # Texts are read without their padding: less work where most are short, the same losses, dropout
    # drawn otherwise. `compile` then leaves the text encoder as it is. Switches that attend to
    # padding (`text_attention_mask` false, as in the released code) keep it.
    pack_texts: bool = False
    quick_dropout: bool = False  # on a CPU, dropout of the same law drawn faster, and otherwise
    # Layers run twice, their activations are not kept: less memory, more time, the same weights.
    checkpoint_activations: bool = field(default=False, metadata={"free": True})
    workers: int = field(default=0, metadata={"free": True})  # processes that make batches
    log_every: int = field(default=10, metadata={"free": True})  # steps per row of curves.csv
    eval_every: int = field(default=500, metadata={"free": True})  # steps; 0 = never
    eval_records: int = field(default=256, metadata={"free": True})  # of the validation split
    checkpoint_every: int = field(default=500, metadata={"free": True})  # steps; 0 = at the end
    keep: int = field(default=2, metadata={"free": True})  # checkpoints kept
    tensorboard: bool = field(default=True, metadata={"free": True})  # write event files too

    def __post_init__(self):
        for name in ("betas", "stages"):  # JSON and YAML give lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, choices in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                given = getattr(self, name)
                raise UsageError(f"there is no {name} '{given}'{nearest(given, choices)}")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}={getattr(self, name)} must be more than 0")
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"batch_size={self.batch_size} is no multiple of accumulate={self.accumulate}"
            )
        if not 0 <= self.mem_first <= self.steps:
            raise UsageError(f"mem_first={self.mem_first} must be in 0..steps ({self.steps})")
        if len(self.stages) != 3 or min(self.stages) < 0 or sum(self.stages) > 1 + 1e-9:
            raise UsageError(f"stages={self.stages} must be three shares that add up to 1 at most")
        if not (0 < self.final_scale <= 1 and 0 <= self.init_scale <= 1):
            raise UsageError("init_scale must be in 0..1 and final_scale above 0, up to 1")

    @classmethod
    def of(cls, settings: "PretrainConfig | None" = None, **overrides: Any) -> "PretrainConfig":
        """Defaults or `settings` with fields changed. Raises UsageError for an unknown name."""
        known = [f.name for f in fields(cls)]
        for name in overrides:
            if name not in known:
                raise UsageError(f"pre-training has no setting '{name}'{nearest(name, known)}")
        return dataclasses.replace(settings or cls(), **overrides)

    def identity(self) -> dict[str, Any]:
        """The fields that decide the weights; a run is resumed only with the same ones."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata.get("free")}


@dataclass(frozen=True)
class Summary:
    """What a finished run leaves in `summary.json`."""

    steps: int
    records: int  # seen, repeats counted
    left_out: int  # records of the split without a report
    losses: dict[str, float]  # means over the last row of the curves
    validation: dict[str, float]  # after the last step
    untrained: dict[str, float]  # the same before the first step
    seconds: float  # of training, evaluation and checkpoints included
    records_per_s: float  # median over the rows of the curves, steps alone
    device: str
    precision: str  # "fp32" or "bf16"
    model: str  # folder for `DBeta.from_pretrained`
    identity: dict[str, Any]  # all that decides the weights

    def save(self, path: Path) -> None:
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def open(cls, path: Path) -> "Summary":
        """Raises DBetaError when the file is damaged or of another version."""
        values = read_json(path)
        if not isinstance(values, dict) or set(values) != {f.name for f in fields(cls)}:
            raise DBetaError(f"{path} is no summary of a run; delete it and run again")
        return cls(**values)


def first_difference(before: dict, now: dict) -> str:
    """`"lr was 0.001 and is 0.01"` for the first field that differs; empty when none does."""
    before, now = _flat(before), _flat(now)
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"{name} was {before.get(name)} and is {now.get(name)}"
    return ""


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts as one dict of dotted names, after a round through JSON."""
    value = value if name else json.loads(json.dumps(value))
    if not isinstance(value, dict):
        return {name: value}
    dotted = {key: f"{name}.{key}" if name else key for key in value}
    return {k: v for key in value for k, v in _flat(value[key], dotted[key]).items()}
