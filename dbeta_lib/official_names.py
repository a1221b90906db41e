"""The official checkpoint's names, shapes and JSON, and how they map onto ours, both ways.

Official layout: `architecture` as of github.com/manhph2211/D-BETA, read November 2026 (HEAD
92e07e7). A checkpoint is `{"model": {name: tensor}}` or the flat dict.
"""

import json
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import DBetaError, UsageError

SHOWN = 3  # names of weights that an error lists, of each kind of fault
# The bytes of another file, read as a pickle's instructions, fail in any of these ways.
_UNREADABLE = (
    UnpicklingError, RuntimeError, SafetensorError, EOFError, ValueError, LookupError, TypeError,
    AttributeError, OverflowError, struct.error,
)  # fmt: skip
# (ours, official); "#" stands for a number, and each pair matches as a prefix of a name.
_PAIRS = [
    ("ecg_encoder.class_token", "class_embedding"),
    ("ecg_encoder.stem.channel_norm", "ecg_encoder.feature_extractor.conv_layers.0.2"),
    ("ecg_encoder.stem.convs.#", "ecg_encoder.feature_extractor.conv_layers.#.0"),
    ("ecg_encoder.stem.norm", "ecg_encoder.layer_norm"),
    ("ecg_encoder.stem.project", "ecg_encoder.post_extract_proj"),
    (
        "ecg_encoder.positions.conv.parametrizations.weight.original0",
        "ecg_encoder.conv_pos.pos_conv.0.weight_g",
    ),
    (
        "ecg_encoder.positions.conv.parametrizations.weight.original1",
        "ecg_encoder.conv_pos.pos_conv.0.weight_v",
    ),
    ("ecg_encoder.positions.conv", "ecg_encoder.conv_pos.pos_conv.0"),
    ("ecg_encoder.norm", "ecg_encoder.encoder.layer_norm"),
    *(
        (f"ecg_encoder.layers.#.{ours}", f"ecg_encoder.encoder.layers.#.{official}")
        for ours, official in [
            ("attention.query", "self_attn.q_proj"),
            ("attention.key", "self_attn.k_proj"),
            ("attention.value", "self_attn.v_proj"),
            ("attention.out", "self_attn.out_proj"),
            ("attention_norm", "self_attn_layer_norm"),
            ("ffn_in", "fc1"),
            ("ffn_out", "fc2"),
            ("ffn_norm", "final_layer_norm"),
        ]
    ),
    ("text_encoder.model", "language_encoder"),
    ("ecg_projection", "multi_modal_ecg_proj"),
    ("text_projection", "multi_modal_language_proj"),
    ("ecg_pooler", "unimodal_ecg_pooler"),
    ("text_pooler", "unimodal_language_pooler"),
    ("fused_ecg_pooler", "multi_modal_ecg_pooler"),
    ("fused_text_pooler", "multi_modal_language_pooler"),
    ("fusion.modality", "modality_type_embeddings"),
    *(
        (f"fusion.{stream}_layers.#.{ours}", f"multi_modal_{modality}_layers.#.{official}")
        for stream, modality in [("ecg", "ecg"), ("text", "language")]
        for ours, official in [
            ("self_attention.out", "attention.output.dense"),
            ("self_attention", "attention.self"),
            ("self_norm", "attention.output.LayerNorm"),
            ("cross_attention.out", "crossattention.output.dense"),
            ("cross_attention", "crossattention.self"),
            ("cross_norm", "crossattention.output.LayerNorm"),
            ("ffn_in", "intermediate.dense"),
            ("ffn_out", "output.dense"),
            ("ffn_norm", "output.LayerNorm"),
        ]
    ),
    ("mlm_head.dense", "mlm_head.transform.dense"),
    ("mlm_head.norm", "mlm_head.transform.LayerNorm"),
    ("mlm_head.decoder", "mlm_head.decoder"),
    ("mlm_head.bias", "mlm_head.bias"),
    ("mem_head.embed", "mim_head.decoder_embed"),
    ("mem_head.mask_token", "mim_head.mask_token"),
    ("mem_head.positions", "mim_head.decoder_pos_embed.pe"),
    *(
        (f"mem_head.blocks.#.{ours}", f"mim_head.decoder.resblocks.#.{official}")
        for ours, official in [
            ("norm_1", "ln_1"),
            ("attention", "attn"),
            ("norm_2", "ln_2"),
            ("ffn_in", "mlp.c_fc"),
            ("ffn_out", "mlp.c_proj"),
        ]
    ),
    ("mem_head.norm", "mim_head.decoder_norm"),
    ("mem_head.predict", "mim_head.decoder_pred"),
    ("etm_head.linear", "itm_head.fc"),
]
# torch's newer weight norm, should a checkpoint have been saved with it.
_NEW_WEIGHT_NORM = {
    "ecg_encoder.conv_pos.pos_conv.0.parametrizations.weight.original0": "weight_g",
    "ecg_encoder.conv_pos.pos_conv.0.parametrizations.weight.original1": "weight_v",
}
_UNUSED = ("ecg_encoder.mask_emb",)  # left over in older checkpoints; no part of the network


def _rename(name: str, side: int) -> str | None:
    """The name on the other side of `_PAIRS`, or None when no pair fits."""
    for pair in _PAIRS:
        source, target = pair[side], pair[1 - side]
        pattern = re.escape(source).replace(r"\#", r"(\d+)") + r"(?=\.|$)"
        match = re.match(pattern, name)
        if match:
            numbers = iter(match.groups())
            new = re.sub("#", lambda _, numbers=numbers: next(numbers), target)
            return new + name[match.end() :]
    return None


def to_official(name: str) -> str | None:
    """Official name of one of our parameters or buffers; None for a part that they do not have."""
    return _rename(name, 0)


def from_official(name: str) -> str | None:
    """Our name of an official entry; None for an unknown one."""
    if name in _NEW_WEIGHT_NORM:
        name = f"ecg_encoder.conv_pos.pos_conv.0.{_NEW_WEIGHT_NORM[name]}"
    return _rename(name, 1)


def read_state(path_or_state_dict: str | Path | Mapping) -> dict[str, Tensor]:
    """A flat dict of tensors from a file (.safetensors, or torch's without code) or a dict.

    Raises DBetaError naming the file when it is absent, holds code, or holds no weights.
    """
    if isinstance(path_or_state_dict, Mapping):
        found, where = path_or_state_dict, "the given dict"
    else:
        where = Path(path_or_state_dict)
        if not where.is_file():
            raise DBetaError(f"{where} is not there; give the checkpoint's path")
        try:
            is_safe = where.suffix == ".safetensors"
            with warnings.catch_warnings(action="ignore"):  # of what is refused a line later
                found = load_file(where) if is_safe else torch.load(
                    where, map_location="cpu", weights_only=True, mmap=False
                )  # fmt: skip
        except _UNREADABLE as error:
            raise DBetaError(
                f"{where} is no plain weights file (damaged, or a pickle with more than tensors, "
                "which is not opened); give a state dict saved by torch.save or safetensors"
            ) from error
    inner = found.get("model") if isinstance(found, Mapping) else None
    found = inner if isinstance(inner, Mapping) else found
    if not isinstance(found, Mapping) or not found:
        raise DBetaError(f"{where} holds no state dict (neither a 'model' entry nor a flat dict)")
    state = {}
    for name, value in found.items():
        if name in _UNUSED:
            continue
        try:
            state[name] = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DBetaError(f"{where}: entry '{name}' is no tensor; give a state dict") from error
    return state


def load_official(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy official weights into `model`, strictly.

    Raises DBetaError that lists what is missing, unknown or of another shape by official name.
    """
    own = model.state_dict()
    expected = {to_official(name): name for name in own}
    given, unknown = {}, []
    for official, value in state.items():
        ours = from_official(official)
        if ours in own:
            given[ours] = value
        else:
            unknown.append(official)
    missing = [official for official, ours in expected.items() if ours not in given]
    shapes = [
        f"{to_official(ours)} {list(value.shape)}, expected {list(own[ours].shape)}"
        for ours, value in given.items()
        if value.shape != own[ours].shape
    ]
    problems = [
        f"{label}: {', '.join(sorted(map(str, names))[:SHOWN])}"
        + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        for label, names in (("missing", missing), ("unknown", unknown), ("shape", shapes))
        if names
    ]
    if problems:
        raise DBetaError(
            "the weights do not fit the config; give the one that they were trained with (config= "
            f"in Python, --released-config in a shell). {'; '.join(problems)}"
        )
    model.load_state_dict({name: value.to(own[name].dtype) for name, value in given.items()})


def conv_layers(text: str) -> tuple[tuple[int, int, int], ...]:
    """Read the official notation "[(256, 2, 2)] * 4 + [(512, 3, 1)]" without evaluating it."""
    layers: list[tuple[int, int, int]] = []
    rest = text.replace(" ", "")
    term = re.compile(r"\[((?:\(\d+,\d+,\d+\),?)+)\](?:\*(\d+))?(?:\+|$)")
    while rest:
        match = term.match(rest)
        if not match:
            raise UsageError(f"conv_feature_layers '{text}' is not of the form [(256, 2, 2)] * 4")
        found = [tuple(map(int, t)) for t in re.findall(r"\((\d+),(\d+),(\d+)\)", match[1])]
        layers += found * int(match[2] or 1)
        rest = rest[match.end() :]
    return tuple(layers)


def config_from_official(official: str | Path | Mapping | None = None) -> DBetaConfig:
    """Our config for the official JSON: full size when None is given, else dict, text or file.

    Accepts `{"model": {...}, "t5": {...}, "norm_pix_loss": bool}` or the `model` part alone. The
    official JSON does not say how long a record is, so any length is taken then.
    """
    if official is None:
        return DBetaConfig.preset("released")
    if isinstance(official, str | Path):
        is_text = str(official).lstrip().startswith("{")
        official = json.loads(official if is_text else Path(official).read_text(encoding="utf-8"))
    model = official.get("model", official)
    _refuse_unsupported(model)
    overrides = {ours: model[theirs] for ours, theirs in _FIELDS.items() if theirs in model}
    if "conv_feature_layers" in model:
        overrides["conv_layers"] = conv_layers(model["conv_feature_layers"])
    if "t5" in official:
        overrides["text_architecture"] = {"model_type": "t5", **official["t5"]}
    if official.get("norm_pix_loss") is False:
        overrides["mem_scaling"] = "none"
    return DBetaConfig.preset("released", fixed_length=False, **overrides)


_FIELDS = {
    "channels": "in_d",
    "ecg_width": "encoder_embed_dim",
    "ecg_ffn": "encoder_ffn_embed_dim",
    "ecg_heads": "encoder_attention_heads",
    "ecg_layers": "encoder_layers",
    "norm_first": "layer_norm_first",
    "position_kernel": "conv_pos",
    "position_groups": "conv_pos_groups",
    "input_dropout": "dropout_input",
    "ecg_dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "mask_ratio": "mem_prob",
    "fusion_width": "hidden_dim",
    "fusion_heads": "num_heads",
    "fusion_layers": "num_top_layer",
    "fusion_dropout": "drop_rate",
    "mem_layer": "mem_layer",
    "decoder_width": "mem_decoder_hidden_dim",
    "decoder_layers": "mem_decoder_num_layers",
    "decoder_heads": "mem_decoder_num_heads",
    "max_text_tokens": "max_text_size",
}
_FIXED = {
    "conv_bias": False,
    "extractor_mode": "default",
    "apply_mask": False,
    "activation_dropout": 0.0,
}


def _refuse_unsupported(model: Mapping) -> None:
    for name, value in _FIXED.items():
        if name in model and model[name] != value:
            raise UsageError(f"official config {name}={model[name]} is not offered, only {value}")
