"""What a sweep is made of: runs, each a model with its seed, and the profile they have in common.

All is checked when the file is read, so that a wrong name costs no training.
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dbeta_lib.comparisons import COMPARISONS, MODELS
from dbeta_lib.comparisons.config import settings_of
from dbeta_lib.comparisons.mem_only import mem_only_config
from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.prompts import STYLES
from dbeta_lib.training.settings import PretrainConfig

# What a row may name as its model, beside the comparison models.
DBETA = "dbeta"
RANDOM = "random"  # the same network, never trained
SUPERVISED = "supervised"  # ResNet-18 that learns from labels, by `evaluation.finetune`
TEXT_ONLY = "text-only"  # TF-IDF of the reports: what they give away without an ECG
OWN_MODELS = (DBETA, *sorted(COMPARISONS), RANDOM, SUPERVISED, TEXT_ONLY)
UNTRAINED = (RANDOM, TEXT_ONLY)  # nothing is pre-trained
# Settings of pre-training that a profile, a run's seed and its losses decide.
DECIDED = ("steps", "batch_size", "lr", "seed", "mem_first", "checkpoint_every")
WITHOUT_REPORTS = ("mem-only", "simclr", "w2v-cmsc-rlm")  # of these, none is read in pre-training


@dataclass(frozen=True)
class Profile:
    """What one size of a sweep decides for all of its rows: data, length, evaluation."""

    dataset: str = "synthetic"  # a name in `data.DATASETS`
    patients: int = 60  # of the synthetic cohort
    report_text: str = "published"  # of PTB-XL: "published" | "scp"
    task: str = "conditions"  # label task of probe and zero-shot
    rows: tuple[str, ...] = ()  # names of the rows that this size runs; empty: all
    seeds: tuple[int, ...] = (0,)  # of every row that names none
    steps: int = 4  # of pre-training
    batch_size: int = 16
    lr: float = 1.5e-3  # peak of the learning rate
    mem_first: int = 0  # steps of MEM alone, where a row has a MEM loss and others
    checkpoint_every: int = 0  # steps; 0 = at the end
    epochs: int = 1  # of a row that learns from labels
    width: int = 16  # of the first stage of ResNets, where their row names none
    draws: int = 5  # of the 1 % and 10 % of labels
    resamples: int = 1000  # of an interval
    negatives_embedder: str = "tfidf"  # or a text encoder's name or folder, pooled by `n3s_pooling`
    encoders: str = ""  # folder of text encoders, looked in before the hub; see `Run.text_model`
    eval_records: int = 256  # validation records of the matching set
    style: str = "name"  # of the prompts: "name" | "description" | "ensemble"
    languages: tuple[str, ...] = ("en",)
    keep_models: bool = False  # False: a model is removed once it is evaluated
    overrides: dict[str, Any] = field(default_factory=dict)  # of every row's config
    settings: dict[str, Any] = field(default_factory=dict)  # of every row's pre-training

    def __post_init__(self):
        object.__setattr__(self, "seeds", whole_numbers(self.seeds, "seeds"))
        for name in ("rows", "languages"):  # YAML gives lists
            object.__setattr__(self, name, tuple(map(str, getattr(self, name))))
        for name in ("patients", "draws", "resamples", "eval_records", "epochs", "width"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be 1 or more")
        if self.style not in STYLES:
            raise UsageError(f"'{self.style}' is no style of prompts{nearest(self.style, STYLES)}")
        if self.encoders and not Path(self.encoders).expanduser().is_dir():
            raise UsageError(f"encoders='{self.encoders}' is no folder; name that of text encoders")
        if not self.seeds or not self.languages:
            raise UsageError("a profile needs at least one seed and one language of prompts")


@dataclass(frozen=True)
class Run:
    """One row of a sweep with one seed: everything that decides what is trained and measured."""

    sweep: str
    name: str
    group: str
    order: int  # place of the row in the file, from 0
    seed: int
    model: str  # one of `OWN_MODELS`
    config: DBetaConfig  # of the D-BETA, or of the one beside which a comparison model is made
    overrides: dict[str, Any]  # what the row itself changes of the config
    settings: dict[str, Any]  # what it changes of training (of fine-tuning, if supervised)
    model_settings: dict[str, Any]  # of the comparison model's own settings
    paper: tuple[str, ...]  # printed rows that it stands for, "Table 6: + ETS"
    note: str
    profile_name: str
    profile: Profile

    def __post_init__(self):
        self._check_model()
        _ = self.training, self.tuning  # wrong settings are told now, not after an hour

    @property
    def slug(self) -> str:
        """The name as a folder: `"+ ETS"` -> `"plus-ets"`."""
        return slug(self.name)

    def folder(self, out: Path | str) -> Path:
        """Where the finished run lies."""
        return Path(out) / self.sweep / self.slug / f"seed{self.seed}"

    @property
    def sampling_rate(self) -> int:
        """Hz of the store that it reads."""
        return self.config.ecg.sampling_rate

    @property
    def text_model(self) -> str:
        """The text encoder that the config names: its folder among `encoders`, or its name.

        A folder is called as the last part of the name: `google/flan-t5-small` is looked for in
        `flan-t5-small`. "" where the encoder is built from numbers.
        """
        name = self.config.text.text_model
        folder = Path(self.profile.encoders).expanduser() / name.rsplit("/", 1)[-1]
        is_there = bool(name and self.profile.encoders) and folder.is_dir()
        return str(folder) if is_there else name

    @property
    def training(self) -> PretrainConfig:
        """What `training.pretrain` is told. Raises UsageError for an unknown setting."""
        own = {} if self.model == SUPERVISED else {**self.profile.settings, **self.settings}
        p = self.profile
        common = {
            "steps": p.steps, "batch_size": p.batch_size, "lr": p.lr, "seed": self.seed,
            "mem_first": p.mem_first if self.has_mem_first else 0, "eval_every": 0,
            "checkpoint_every": p.checkpoint_every, "keep": 1, "tensorboard": False,
        }  # fmt: skip
        return PretrainConfig.of(**{**common, **own})

    @property
    def has_mem_first(self) -> bool:
        """Whether a time of MEM alone makes sense: there is a MEM loss, and there are others."""
        others = ("mlm", "etm", "ets")
        weights = self.config.objective
        alone = not any(getattr(weights, f"{name}_weight") for name in others)
        return self.model == DBETA and weights.mem_weight > 0 and not alone

    @property
    def tuning(self) -> FinetuneConfig:
        """What `evaluation.finetune` is told, of a supervised row."""
        own = self.settings if self.model == SUPERVISED else {}
        common = {"epochs": self.profile.epochs, "batch_size": self.profile.batch_size}
        return FinetuneConfig.from_scratch(**{**common, **own})

    @property
    def reads_reports(self) -> bool:
        """Whether pre-training reads reports."""
        return self.model not in (*WITHOUT_REPORTS, RANDOM, SUPERVISED)

    @property
    def has_matching_head(self) -> bool:
        """Whether text and ECG go through a head that says if they belong together."""
        return self.model in (DBETA, RANDOM) and self.config.objective.etm_weight > 0

    @property
    def own_settings(self) -> dict[str, Any]:
        """What the comparison model is built with."""
        width = {"width": self.profile.width} if self.model in ("merl", SUPERVISED) else {}
        return {**width, **self.model_settings}

    def _check_model(self) -> None:
        if self.model not in OWN_MODELS:
            raise UsageError(f"there is no model '{self.model}'{nearest(self.model, OWN_MODELS)}")
        known = ("width",) if self.model == SUPERVISED else ()
        if self.model in MODELS:
            settings_of(MODELS[self.model].Settings, self.own_settings, self.model)
        elif unknown := [name for name in self.model_settings if name not in known]:
            raise UsageError(f"the model '{self.model}' has no setting '{unknown[0]}'")
        if self.model == "mem-only":
            object.__setattr__(self, "config", mem_only_config(self.config))


@dataclass(frozen=True)
class Sweep:
    """The runs of one file at one size, row by row, seed by seed."""

    name: str
    path: Path
    profile_name: str
    profile: Profile
    runs: tuple[Run, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the rows in their order."""
        return tuple(dict.fromkeys(run.name for run in self.runs))

    def pick(self, names: list[str] | None = None, seeds: list[int] | None = None) -> list[Run]:
        """The runs of some rows, of some seeds. Raises UsageError for a name that is no row's."""
        for name in names or ():
            if name not in self.names:
                raise UsageError(f"{self.path} has no row '{name}'{nearest(name, self.names)}")
        found = [
            run for run in self.runs
            if (not names or run.name in names) and (not seeds or run.seed in seeds)
        ]  # fmt: skip
        if not found:
            rows = f"row '{names[0]}'" if names and len(names) == 1 else "choice of rows"
            there = sorted({run.seed for run in self.runs if not names or run.name in names})
            raise UsageError(f"{self.path}: the {rows} has no seed {seeds}; there are {there}")
        return found


def slug(name: str) -> str:
    """`"+ ETS"` -> `"plus-ets"`, `"- ETS"` -> `"minus-ets"`: what a folder may be called."""
    words = re.sub(r"^\s*[-−]", "minus ", name.replace("+", " plus "))
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def typed(value: Any, like: Any, where: str) -> Any:
    """`value` as a field takes it whose default is `like`. UsageError naming `where` otherwise."""
    if isinstance(like, bool) or isinstance(value, bool):
        fits = isinstance(like, bool) and isinstance(value, bool)
    elif isinstance(like, float):
        fits = isinstance(value, int | float)
    elif isinstance(like, tuple | list):
        fits = isinstance(value, tuple | list)
    else:
        fits = isinstance(value, type(like))
    if fits:
        return value
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text",
             tuple: "a list", list: "a list", dict: "a table"}  # fmt: skip
    hint = "; write 1.0e-3 for 1e-3" if isinstance(like, float) and isinstance(value, str) else ""
    raise UsageError(f"{where} takes {kinds[type(like)]}, not {value!r}{hint}")


def whole_numbers(values: Any, where: str) -> tuple[int, ...]:
    """Seeds as a tuple. UsageError naming the first that is no whole number."""
    wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, int)]
    if wrong:
        raise UsageError(f"{where} takes whole numbers, not {wrong[0]!r}")
    return tuple(values)


def checked_fields(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Values for fields of the dataclass `kind`, by name and type. UsageError naming `where`."""
    defaults = {f.name: getattr(kind(), f.name) for f in fields(kind)}
    for name, value in values.items():
        if name not in defaults:
            raise UsageError(f"{where} has no '{name}'{nearest(str(name), defaults)}")
        typed(value, defaults[name], f"{where}: {name}")
    return values
