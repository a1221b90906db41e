"""What comparison models have in common: D-BETA's loop trains them, every evaluation takes them.

A model here has a D-BETA's config, so it is trained by `training.pretrain` on the same records in
the same order, and is compared with a D-BETA of the same ECG encoder and text encoder. To the loop
it states the names of its losses, whether they gather a batch that several processes share, how it
is validated, and which files decide its weights.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dbeta_lib.batch import Batch
from dbeta_lib.checkpoint_files import CONFIG, TOKENIZER, WEIGHTS, HubFiles
from dbeta_lib.comparisons.config import PLAIN_BATCHES, ComparisonConfig, settings_of
from dbeta_lib.comparisons.monitor import LossMonitor
from dbeta_lib.config import DBetaConfig
from dbeta_lib.encoders.text import load_tokenizer
from dbeta_lib.errors import DBetaError
from dbeta_lib.inference import check_ecg
from dbeta_lib.leads import LEADS
from dbeta_lib.outputs import Output
from dbeta_lib.training.checkpoints import load_weights


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Of a model that adds nothing to the config."""


class Comparison(HubFiles, nn.Module):
    """Base of the comparison models; each fills in what stands first here, and four methods.

    Building one: `MERL.build(DBetaConfig.preset("mini"), tokenizer, temperature=0.1)`.
    """

    name: ClassVar[str] = ""  # key of COMPARISONS
    loss_names: ClassVar[tuple[str, ...]] = ("total",)  # in the order of the curves, total last
    gathers: ClassVar[bool] = False  # `forward` takes `processes`, and sees the batch of them all
    Settings: ClassVar[type] = NoSettings
    monitor: ClassVar[type] = LossMonitor
    sources: ClassVar[tuple[str, ...]] = ("augmentations.py", "comparisons/*.py")

    def __init__(self, config: ComparisonConfig, tokenizer=None, load_text_weights: bool = True):
        """config from `build`; tokenizer as D-BETA's: batches hold texts, read or not.

        Raises UsageError for a setting that the model does not have.
        """
        super().__init__()
        self.settings = settings_of(self.Settings, config.settings, self.name)
        own = dataclasses.asdict(self.settings)
        self.config = ComparisonConfig.of(config, self.name, own)
        self._tokenizer = tokenizer
        self._build(load_text_weights)

    @classmethod
    def build(cls, config: DBetaConfig, tokenizer=None, **settings: Any) -> Comparison:
        """A new model beside a D-BETA of `config`; settings: fields of `Settings`."""
        config = ComparisonConfig.of(cls.adapted(config), cls.name, settings)
        return cls(config, tokenizer)

    @classmethod
    def adapted(cls, config: DBetaConfig) -> DBetaConfig:
        """The config with what this model must have otherwise."""
        return config.replace(**PLAIN_BATCHES)

    # -- what each model fills in ----------------------------------------------------------------

    def _build(self, load_text_weights: bool) -> None:
        """Make the parts, from `config` and `settings`."""
        raise NotImplementedError

    def describe(self, ecg: Tensor) -> Tensor:
        """Features of the encoder before any head, mV `[B, 12, T]` -> `[B, F]`."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Output:
        """The losses of a batch, by the names in `loss_names`."""
        raise NotImplementedError

    # -- what loop, checkpoints and evaluations ask for ------------------------------------------

    @property
    def sampling_rate(self) -> int:
        """Hz of the ECG that `encode_ecg` takes."""
        return self.config.ecg.sampling_rate

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the rows that `encode_ecg` takes."""
        return LEADS

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def tokenizer(self):
        """The tokenizer given; else that of the config's text model."""
        if self._tokenizer is None:
            if not self.config.text.text_model:
                raise DBetaError(f"this {self.name} has no tokenizer; give one as D-BETA takes it")
            self._tokenizer = load_tokenizer(self.config.text.text_model)
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, value) -> None:
        self._tokenizer = load_tokenizer(str(value)) if isinstance(value, str | Path) else value

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """Features `[B, D]` of ECGs `[B, 12, T]` in mV at `sampling_rate`, for every evaluation.

        lead_mask bool `[B, 12]`, True = present. With gradients, so that it can be fine-tuned: the
        evaluations switch gradients and dropout off themselves. Raises UsageError as D-BETA does.
        """
        return self._features(self._present(ecg, lead_mask))

    def without_head(self) -> WithoutHead:
        """The same as an encoder of the features before the head, which papers mostly probe."""
        return WithoutHead(self)

    def _features(self, ecg: Tensor) -> Tensor:
        return self.describe(ecg)

    def _present(self, ecg: Tensor, lead_mask: Tensor | None) -> Tensor:
        ecg, lead_mask = check_ecg(ecg, lead_mask, self.config.ecg, self.device)
        return ecg if lead_mask is None else zeroed(ecg, lead_mask)

    @classmethod
    def _from_pretrained(cls, *, model_id, tokenizer=None, map_location="cpu", **_ignored):
        folder = Path(model_id)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise DBetaError(f"{folder} holds no model ({name} is missing); give its folder")
        config = ComparisonConfig.from_json(folder / CONFIG)
        if config.name != cls.name:
            what = config.name or "D-BETA"
            raise DBetaError(f"{folder} holds a {what}, no {cls.name}; open it by `open_model`")
        model = cls(config, load_text_weights=False)
        load_weights(folder, model)
        if tokenizer is None and (folder / TOKENIZER).is_dir():
            tokenizer = folder / TOKENIZER
        if tokenizer is not None:
            model.tokenizer = tokenizer
        return model.to(map_location).eval()


class WithoutHead(nn.Module):
    """A comparison model as an Encoder of its features before the head, `[B, F]`."""

    def __init__(self, model: Comparison):
        super().__init__()
        self.model, self.config = model, model.config
        self.sampling_rate, self.leads = model.sampling_rate, model.leads

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """As `Comparison.encode_ecg`, `[B, F]`."""
        return self.model.describe(self.model._present(ecg, lead_mask))


def zeroed(ecg: Tensor, lead_mask: Tensor) -> Tensor:
    """The ECG `[B, 12, T]` with leads of mask `[B, 12]` False as zeros."""
    return ecg * lead_mask.to(ecg.dtype).unsqueeze(-1)


def own_generator(device: torch.device) -> torch.Generator:
    """A generator on the device, seeded from torch's own state, which the loop sets each step."""
    seed = int(torch.randint(2**62, ()))
    return torch.Generator(device).manual_seed(seed)
