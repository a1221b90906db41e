"""What a fine-tuning is told."""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any

from dbeta_lib.errors import UsageError, nearest

CHOICES = {
    "optimizer": ("adam", "adamw"),
    "schedule": ("constant", "one-cycle"),
    "feature": ("mean", "pooled"),
}
SCRATCH = {
    "epochs": 30, "batch_size": 64, "lr": 3e-3, "optimizer": "adamw", "weight_decay": 0.01,
    "schedule": "one-cycle",
}  # fmt: skip
RECIPES = {  # name -> fields that differ from the defaults
    "published": {},  # the defaults themselves
    "one-cycle": SCRATCH,
}


@dataclass(frozen=True)
class FinetuneConfig:
    """Numbers of a fine-tuning; the defaults are those of fairseq-signals' diagnosis task.

    That is the framework of the work which D-BETA compares itself with (Oh et al., CHIL 2022): Adam
    at a constant 5e-5, batches of 128, at most 100 epochs, the mean over tokens as the feature.
    The paper does not say its own. Three things differ: the epoch is always chosen on the
    validation split, a whole record is read where that work has parts of 5 s, and the convolutions
    learn too (`freeze_stem` has it otherwise).

    >>> FinetuneConfig.of(epochs=3).lr
    5e-05
    """

    epochs: int = 100
    batch_size: int = 128  # records per step, at most: an epoch is cut into equal batches
    lr: float = 5e-5  # peak of the schedule
    head_lr: float = 0.0  # of the new linear layer; 0 = as the rest
    optimizer: str = "adam"  # "adam" | "adamw"
    weight_decay: float = 0.0
    schedule: str = "constant"  # | "one-cycle": up along a cosine, and down to nothing
    warmup: float = 0.2  # 0..1, share of the steps in which one-cycle rises
    clip_norm: float = 0.0  # largest gradient norm; 0 = not clipped
    dropout: float = 0.0  # 0..1, of the features before the linear layer
    # Of a D-BETA: "mean" over the ECG tokens of its encoder's last layer, without the class token |
    # "pooled", what `encode_ecg` gives. Another encoder has only its one feature.
    feature: str = "mean"
    freeze_stem: bool = False  # the convolutions of a D-BETA stay as they are (fairseq-signals)
    lead_dropout: float = 0.0  # 0..1, chance of a lead to be hidden in training; one always stays
    crop: float = 0.0  # s, random part of a record seen in training; 0 = all of it
    patience: int = 0  # stop after this many epochs without a better validation AUC; 0 = never
    threshold: float = 0.5  # 0..1, probability above which the answer is yes (Challenge score)

    def __post_init__(self):
        for name, choices in CHOICES.items():
            given = getattr(self, name)
            if given not in choices:
                raise UsageError(f"there is no {name} '{given}'{nearest(given, choices)}")
        for name in ("epochs", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}={getattr(self, name)} must be more than 0")
        for name in ("head_lr", "weight_decay", "clip_norm", "crop", "patience"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name}={getattr(self, name)} must be 0 or more")
        for name in ("dropout", "lead_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be in 0..1, less than 1")
        for name in ("warmup", "threshold"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must lie between 0 and 1")

    @classmethod
    def of(cls, settings: "FinetuneConfig | None" = None, **overrides: Any) -> "FinetuneConfig":
        """Defaults or `settings` with fields changed. Raises UsageError for an unknown name."""
        known = [f.name for f in fields(cls)]
        for name in overrides:
            if name not in known:
                raise UsageError(f"fine-tuning has no setting '{name}'{nearest(name, known)}")
        return dataclasses.replace(settings or cls(), **overrides)

    @classmethod
    def recipe(cls, name: str, **overrides: Any) -> "FinetuneConfig":
        """A recipe by its name in `RECIPES`, with fields changed.

        "published" is that of fairseq-signals, for long trainings; "one-cycle" reaches more in few
        steps. Raises UsageError for another name, of the recipe or of a field.
        """
        if name not in RECIPES:
            raise UsageError(f"there is no recipe '{name}' of fine-tuning{nearest(name, RECIPES)}")
        return cls.of(**{**RECIPES[name], **overrides})

    @classmethod
    def from_scratch(cls, **overrides: Any) -> "FinetuneConfig":
        """For a network with random weights: AdamW on one cycle at a higher rate (`SCRATCH`)."""
        return cls.recipe("one-cycle", **overrides)
