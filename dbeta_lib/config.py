"""What a D-BETA is made of: frozen dataclasses, one per concern, JSON in and out.

Three sets of switches answer three questions and are never mixed: `released` computes what the
official code computes, oddities included; `paper` what the paper's text says (what it leaves open
is our choice); `recommended` what our own evidence supports. Both sets and sizes stand in
`presets.py`.

>>> config = DBetaConfig.preset("mini", mask_ratio=0.5)
>>> config.ecg.mask_ratio, config.ecg.tokens
(0.5, 61)
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dbeta_lib.config_checks import as_tuples, check
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.files import read_json
from dbeta_lib.presets import PRESETS, SWITCHES

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ECGConfig:
    """The ECG encoder (paper section 3.1): convolutional stem, positions, transformer."""

    channels: int = 12  # leads; another signal (EEG, EMG) is another number here
    samples: int = 5000  # per channel; 10 s at 500 Hz
    sampling_rate: int = 500  # Hz
    conv_layers: tuple[tuple[int, int, int], ...] = ((256, 2, 2),) * 4  # (width, kernel, stride)
    ecg_width: int = 768  # E
    ecg_ffn: int = 3072  # width inside the feed-forward part
    ecg_heads: int = 12
    ecg_layers: int = 8
    norm_first: bool = False  # True: pre-norm layers, which small and short runs train faster
    position_kernel: int = 128  # tokens that the positional convolution spans
    position_groups: int = 16
    fixed_length: bool = True  # False: records of any length, as the official code takes them
    input_dropout: float = 0.1  # 0..1, on the stem's features
    ecg_dropout: float = 0.1  # 0..1, after each sub-layer
    attention_dropout: float = 0.1  # 0..1, on attention probabilities
    mask_ratio: float = 0.75  # 0..1, ECG tokens removed in pre-training
    mask_before_positions: bool = False  # True: removed tokens cannot leak through the convolution
    amplitude_token: bool = False  # True: tokens know the amplitude, which the first norm erases
    ecg_pooling: str = "first"  # "first" (class token) | "mean" over the kept tokens
    lead_order: str = "standard"  # "standard" | "mimic" (aVF before aVL), order fed to the stem

    def tokens_of(self, samples: int) -> int:
        """ECG tokens without the class token: floor((n - kernel) / stride) + 1 per layer."""
        for _, kernel, stride in self.conv_layers:
            samples = (samples - kernel) // stride + 1
        return samples

    @property
    def tokens(self) -> int:
        """ECG tokens of a record of `samples`."""
        return self.tokens_of(self.samples)

    @property
    def patch(self) -> int:
        """Samples per token in the reconstruction target."""
        return self.samples // self.tokens

    @property
    def kept(self) -> int:
        """Tokens left after masking."""
        return self.kept_of(self.tokens)

    def kept_of(self, tokens: int) -> int:
        """Tokens left of `tokens` after masking."""
        return int(tokens * (1 - self.mask_ratio))


@dataclass(frozen=True)
class TextConfig:
    """The text encoder: a Hugging Face architecture, by name, by folder, or from these numbers."""

    text_model: str = ""  # hub name or local folder; "" builds the encoder from `text_architecture`
    text_architecture: dict = field(default_factory=dict)  # Hugging Face config, with "model_type"
    text_vocabulary: int = 32128  # size of the tokenizer trained here when none is given
    text_attention_mask: bool = True  # False: pads are attended to, as in the released code
    text_pooling: str = "first"  # "first" | "mean"
    max_text_tokens: int = 256
    freeze_text: bool = False  # True: the text encoder takes no gradient and no dropout


@dataclass(frozen=True)
class FusionConfig:
    """Cross-attention between the two streams (paper section 3.2)."""

    fusion_width: int = 768  # H, also the dimension D of the features
    fusion_heads: int = 12
    fusion_layers: int = 6  # per stream; 0 leaves both encoders alone
    fusion_dropout: float = 0.1  # 0..1


@dataclass(frozen=True)
class MEMConfig:
    """Masked ECG modelling: the decoder and its target."""

    decoder_width: int = 384
    decoder_layers: int = 4
    decoder_heads: int = 6
    decoder_max_tokens: int = 512  # rows of the position table, class token included
    mem_layer: int = -1  # ECG stream read before this fusion layer; -1: after the last
    mem_target: str = "masked"  # "masked": zeros where leads were dropped | "undropped"
    mem_scaling: str = "lead"  # z-score "lead": over the record | "patch" | "none"

    @property
    def reads_last_layer(self) -> bool:
        """Whether the decoder reads the ECG after the last fusion layer."""
        return self.mem_layer == -1


@dataclass(frozen=True)
class ObjectiveConfig:
    """The four losses, and what is done to a batch before it reaches the model."""

    # "ets": the paper's sigmoids | "infonce": CLIP's softmax, in the place and weight of ETS
    contrast: str = "ets"
    ets_head: str = "tanh_dense"  # "tanh_dense" (paper) | "dense_tanh" (released)
    ets_learnable: bool = False  # True: scale and bias are learnt, as in SigLIP
    ets_scale_start: float = 10.0  # of a learnt scale
    ets_bias_start: float = -4.0  # of a learnt bias; about -ln(batch), SigLIP's -10 is for 20,000
    ets_unit_vectors: bool = False  # True: cosine in place of the dot product
    ets_reduction: str = "sum"  # "sum": pairs / B | "mean": pairs / B^2
    ets_positives: str = "aligned"  # "aligned": the diagonal | "same_report": duplicates too
    ets_view: str = "masked"  # ECG tokens that the ETS loss sees: "masked" | "full"
    mlm_weight: float = 1.0
    mem_weight: float = 1.0
    etm_weight: float = 1.0
    ets_weight: float = 1.0
    mlm_masking: str = "sentinel"  # "sentinel": 80/10/10 | "none": labels are the visible ids
    mlm_probability: float = 0.25  # 0..1, text tokens to predict
    # "n3s" | "random" | "balanced" | "middle_band" | "hub_corrected" (see `mined_tables`) |
    # "released": only the mask is swapped
    negatives: str = "n3s"
    negatives_tau: float = 0.1  # of "balanced": how much likeness is put up with; 0.01 and more
    negative_fraction: float = 0.5  # 0..1, share of the batch with another text
    n3s_pooling: str = "masked_mean"  # "masked_mean" | "mean_with_pads"
    lead_dropout: float = 0.5  # 0..1, each lead zeroed independently
    # Changes of the ECG in pre-training (`augmentations.py`); each record draws its own.
    time_shift: float = 0.0  # 0..1 of the record: rolled in time by up to so much either way
    lead_subsets: tuple[str, ...] = ()  # keep the leads of one, as ("12", "6", "3"); before dropout
    baseline_wander: float = 0.0  # mV, largest sine of 0.15..0.3 Hz in a measured lead
    mains_hum: float = 0.0  # mV, largest hum of 50 Hz; only a rate above 100 Hz can show it
    muscle_noise: float = 0.0  # mV, largest standard deviation of noise above 20 Hz
    amplitude_scaling: float = 1.0  # times a factor between 1 / so much and so much

    @property
    def shows_whole_texts(self) -> bool:
        """Whether texts reach the model as they are, no word hidden."""
        return self.mlm_masking == "none" or self.mlm_probability == 0


SECTIONS = {
    "ecg": ECGConfig,
    "text": TextConfig,
    "fusion": FusionConfig,
    "mem": MEMConfig,
    "objective": ObjectiveConfig,
}
_SECTION_OF = {f.name: section for section, cls in SECTIONS.items() for f in fields(cls)}
# Fields that change an ECG or its leads in a batch, with what each is where nothing is changed.
AUGMENTING: dict[str, Any] = {
    "lead_dropout": 0.0,
    "time_shift": 0.0,
    "lead_subsets": (),
    "baseline_wander": 0.0,
    "mains_hum": 0.0,
    "muscle_noise": 0.0,
    "amplitude_scaling": 1.0,
}


@dataclass(frozen=True)
class DBetaConfig:
    """All of a D-BETA's numbers; build one by `DBetaConfig.preset`."""

    ecg: ECGConfig = field(default_factory=ECGConfig)
    text: TextConfig = field(default_factory=TextConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    mem: MEMConfig = field(default_factory=MEMConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    switches: str = "paper"

    def __post_init__(self):
        object.__setattr__(self, "ecg", as_tuples(self.ecg, "conv_layers"))
        object.__setattr__(self, "objective", as_tuples(self.objective, "lead_subsets"))
        check(self)

    @classmethod
    def preset(cls, name: str, switches: str | None = None, **overrides: Any) -> "DBetaConfig":
        """A named size with a set of switches and any fields by name.

        name: "paper" (321.39 M parameters with Flan-T5-base), "mini" (2-3 M, 100 Hz, trains on a
        CPU) or "released" (full size, `released` switches). switches: "paper" unless given.
        Raises UsageError for an unknown name or field, naming the nearest known one.
        """
        if name not in PRESETS:
            raise UsageError(f"there is no preset '{name}'{nearest(name, PRESETS)}")
        switches = switches or ("released" if name == "released" else "paper")
        if switches not in SWITCHES:
            raise UsageError(f"there are no switches '{switches}'{nearest(switches, SWITCHES)}")
        values = {**PRESETS[name], **SWITCHES[switches]}
        if name == "mini" and values["mem_layer"] > 0:
            values["mem_layer"] = 0  # the released "before layer 3 of 6" has no place in one layer
        return cls(switches=switches).replace(**{**values, **overrides})

    def replace(self, **overrides: Any) -> "DBetaConfig":
        """A copy with the named fields changed. Raises UsageError for an unknown field."""
        changed: dict[str, dict[str, Any]] = {}
        for name, value in overrides.items():
            if name not in _SECTION_OF:
                raise UsageError(f"there is no setting '{name}'{nearest(name, _SECTION_OF)}")
            changed.setdefault(_SECTION_OF[name], {})[name] = value
        parts = {s: dataclasses.replace(getattr(self, s), **v) for s, v in changed.items()}
        return dataclasses.replace(self, **parts)

    def get(self, name: str) -> Any:
        """A field of any section by its name."""
        if name not in _SECTION_OF:
            raise UsageError(f"there is no setting '{name}'{nearest(name, _SECTION_OF)}")
        return getattr(getattr(self, _SECTION_OF[name]), name)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for JSON."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DBetaConfig":
        """The inverse of `to_dict`. Raises UsageError for an unknown key, format or kind."""
        if not isinstance(values, dict):
            raise UsageError(f"a config is a mapping of sections, not {values!r:.80}")
        values = dict(values)
        version = values.pop("format_version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise UsageError(f"config format {version} is not known; this kit reads 1")
        switches = values.pop("switches", "paper")
        unknown = [s for s in values if s not in SECTIONS]
        if unknown:
            raise UsageError(f"config has no section '{unknown[0]}'{nearest(unknown[0], SECTIONS)}")
        for name, section in values.items():
            if not isinstance(section, dict):
                raise UsageError(f"section '{name}' of a config is a mapping, not {section!r:.80}")
        if not isinstance(switches, str):
            raise UsageError(f"switches={switches!r:.80} must be a text")
        flat = {k: v for section in values.values() for k, v in section.items()}
        return cls(switches=switches).replace(**flat)

    def to_json(self) -> str:
        """JSON text; `from_json` reads it, or a file of it."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text_or_path: str | Path) -> "DBetaConfig":
        """Read JSON text, or a file of it. Raises UsageError as `from_dict`, DBetaError for a file
        that is absent or damaged, naming it."""
        if isinstance(text_or_path, str) and text_or_path.lstrip().startswith("{"):
            try:
                return cls.from_dict(json.loads(text_or_path))
            except json.JSONDecodeError as error:
                raise UsageError(f"a config's JSON is damaged ({error})") from error
        values = read_json(text_or_path, "copy it again")
        try:
            return cls.from_dict(values)
        except UsageError as error:
            raise UsageError(f"{text_or_path}: {error}") from error

    def hash(self) -> str:
        """Twelve hexadecimal digits that change with any field."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
