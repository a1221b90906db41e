"""Which configs are refused: values of another kind or range, and networks that cannot be built."""

import dataclasses
import math
from numbers import Integral, Real
from typing import Any, get_type_hints

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import subset_mask

MAINS = 50  # Hz, of `mains_hum`
_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    dict: "a mapping",
}
_CHOICES = {
    "ecg_pooling": ("first", "mean"),
    "lead_order": ("standard", "mimic"),
    "text_pooling": ("first", "mean"),
    "mem_target": ("masked", "undropped"),
    "mem_scaling": ("lead", "patch", "none"),
    "contrast": ("ets", "infonce"),
    "ets_head": ("tanh_dense", "dense_tanh"),
    "ets_reduction": ("sum", "mean"),
    "ets_positives": ("aligned", "same_report"),
    "ets_view": ("masked", "full"),
    "mlm_masking": ("sentinel", "none"),
    "negatives": ("n3s", "random", "balanced", "middle_band", "hub_corrected", "released"),
    "n3s_pooling": ("masked_mean", "mean_with_pads"),
}
_RATIOS = (
    "input_dropout",
    "ecg_dropout",
    "attention_dropout",
    "mask_ratio",
    "fusion_dropout",
    "mlm_probability",
    "negative_fraction",
    "lead_dropout",
    "time_shift",
)
_MAY_BE_ZERO = ("ecg_layers", "fusion_layers", "decoder_layers")  # of the counts
_MULTIPLES = (
    ("ecg_width", "ecg_heads"),
    ("fusion_width", "fusion_heads"),
    ("decoder_width", "decoder_heads"),
    ("ecg_width", "position_groups"),
)


def check(config: Any) -> None:
    """Refuse a `DBetaConfig` that could not be built. Raises UsageError naming the field."""
    for section in ("ecg", "text", "fusion", "mem", "objective"):
        _check_kinds(getattr(config, section))
    for name, choices in _CHOICES.items():
        if config.get(name) not in choices:
            raise UsageError(f"{name}='{config.get(name)}' is not one of {', '.join(choices)}")
    for name in _RATIOS:
        if not 0 <= config.get(name) < 1:
            raise UsageError(f"{name}={config.get(name)} must be at least 0 and below 1")
    for width, heads in _MULTIPLES:
        if config.get(width) % config.get(heads):
            raise UsageError(f"{width}={config.get(width)} is no multiple of {heads}")
    _check_tokens(config)
    _check_augmentations(config.objective, config.ecg.sampling_rate)
    if not -1 <= config.mem.mem_layer <= max(0, config.fusion.fusion_layers - 1):
        raise UsageError(
            f"mem_layer={config.mem.mem_layer} is outside -1..{config.fusion.fusion_layers - 1}"
        )


def _check_kinds(section: Any) -> None:
    """Each field holds what its annotation says; whole numbers count something, so they are > 0."""
    for name, kind in get_type_hints(type(section)).items():
        value = getattr(section, name)
        if kind not in _KINDS:
            continue
        if not _is_a(kind, value):
            raise UsageError(f"{name}={value!r} must be {_KINDS[kind]}")
        if kind is int and name != "mem_layer" and value < (name not in _MAY_BE_ZERO):
            least = "0 or more" if name in _MAY_BE_ZERO else "1 or more"
            raise UsageError(f"{name}={value} must be {least}")


def _is_a(kind: type, value: Any) -> bool:
    if kind in (int, float):
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind)


def _check_tokens(config: Any) -> None:
    """The stem leaves tokens, and not more than the decoder has positions for."""
    for layer in config.ecg.conv_layers:
        is_layer = isinstance(layer, tuple) and len(layer) == 3
        if not is_layer or not all(_is_a(int, number) and number > 0 for number in layer):
            raise UsageError(f"conv_layers holds {layer!r}; give (width, kernel, stride), each > 0")
    if config.ecg.tokens < 1 or config.ecg.kept < 1:
        raise UsageError(f"samples={config.ecg.samples} leave no ECG token after masking")
    if config.ecg.tokens + 1 > config.mem.decoder_max_tokens:
        raise UsageError(
            f"{config.ecg.tokens} ECG tokens do not fit decoder_max_tokens="
            f"{config.mem.decoder_max_tokens}; raise it or add a strided convolution"
        )


def _check_augmentations(objective: Any, sampling_rate: int) -> None:
    for name in ("baseline_wander", "mains_hum", "muscle_noise"):
        if not getattr(objective, name) >= 0:
            raise UsageError(f"{name}={getattr(objective, name)} mV must be 0 or more")
    if not objective.amplitude_scaling >= 1:
        raise UsageError(f"amplitude_scaling={objective.amplitude_scaling} must be 1 or more")
    if objective.mains_hum and sampling_rate <= 2 * MAINS:
        raise UsageError(
            f"mains_hum: {sampling_rate} Hz cannot show a hum of {MAINS} Hz; work at 250 Hz or more"
        )
    for leads in objective.lead_subsets:
        if not isinstance(leads, str):
            raise UsageError(f"lead_subsets holds {leads!r}; give names, as '6' or 'I,II,V2'")
        subset_mask(leads)


def as_tuples(section: Any, name: str) -> Any:
    """`section` with the lists of one field as tuples: JSON and YAML give lists, and a config
    compares and hashes by tuples. Raises UsageError where the field is no list."""
    value = getattr(section, name)
    if not isinstance(value, list | tuple):
        raise UsageError(f"{name}={value!r} must be a list")
    return dataclasses.replace(section, **{name: _tuples(value)})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
