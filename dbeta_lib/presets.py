"""Named sizes and named sets of switches: the numbers that `DBetaConfig.preset` puts together.

A field that no preset and no switch names has its default in `config.py`. Every switch that a set
names is named by all three sets, so that two runs of different switches never differ unseen.
"""

from typing import Any

FLAN_T5_BASE = {
    "model_type": "t5",
    "vocab_size": 32128,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 12,
    "num_heads": 12,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "eos_token_id": 1,
}

# What the official code and the paper's text have in common, as far as the text says it.
_ALIKE: dict[str, Any] = {
    "text_pooling": "first",
    "contrast": "ets",
    "ets_learnable": False,
    "ets_unit_vectors": False,
    "ets_positives": "aligned",
    "mlm_probability": 0.25,
    "mem_target": "masked",
    "mem_scaling": "lead",
    "mask_before_positions": False,
    "amplitude_token": False,
    "norm_first": False,
    "ecg_pooling": "first",
    "mask_ratio": 0.75,
    "lead_dropout": 0.5,
    "time_shift": 0.0,
    "mem_weight": 1.0,
    "negative_fraction": 0.5,
    "lead_order": "standard",
}
# Each row of the design's switch table that is a property of the network or of its objective.
SWITCHES: dict[str, dict[str, Any]] = {
    "released": {
        **_ALIKE,
        "text_attention_mask": False,
        "ets_head": "dense_tanh",
        "ets_reduction": "mean",
        "negatives": "released",
        "n3s_pooling": "mean_with_pads",
        "mlm_masking": "none",
        "mem_layer": 3,
    },
    "paper": {
        **_ALIKE,
        "text_attention_mask": True,
        "ets_head": "tanh_dense",
        "ets_reduction": "sum",
        "negatives": "n3s",
        "n3s_pooling": "masked_mean",
        "mlm_masking": "sentinel",
        "mem_layer": -1,
    },
}
# Chosen in short runs of a small network. As a whole it beats the other two there, while several of
# its choices, turned one by one, hurt (README: sweeps `switches` and `augmentations`).
SWITCHES["recommended"] = {
    **SWITCHES["paper"],
    "amplitude_token": True,
    "norm_first": True,
    "ecg_pooling": "mean",
    "text_pooling": "mean",
    "mask_ratio": 0.5,
    "mlm_probability": 0.15,  # the contrast reads the same text, and what is hidden is lost to it
    "lead_dropout": 0.3,
    "time_shift": 0.5,  # against overfitting, where records are few and come often
    "negative_fraction": 0.25,
    "mem_layer": 0,  # before the fusion, whose tokens are nearly alike in our short runs
    "mem_weight": 10.0,
    "ets_learnable": True,
    "ets_unit_vectors": True,
    "ets_positives": "same_report",
}

_MINI = {
    "samples": 1000,
    "sampling_rate": 100,
    "conv_layers": ((32, 7, 2), (64, 5, 2), (128, 3, 2), (128, 3, 2)),
    "ecg_width": 128,
    "ecg_ffn": 512,
    "ecg_heads": 4,
    "ecg_layers": 2,
    "position_kernel": 16,
    "position_groups": 8,
    "text_architecture": {
        "model_type": "t5",
        "d_model": 128,
        "d_kv": 32,
        "d_ff": 256,
        "num_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 64,
        "dropout_rate": 0.1,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "eos_token_id": 1,
    },
    "text_vocabulary": 2000,
    "max_text_tokens": 48,
    "fusion_width": 128,
    "fusion_heads": 4,
    "fusion_layers": 1,
    "decoder_width": 64,
    "decoder_layers": 2,
    "decoder_heads": 4,
}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"text_architecture": FLAN_T5_BASE},
    "mini": _MINI,
    "released": {"text_architecture": FLAN_T5_BASE},
}
