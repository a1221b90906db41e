"""Very small text encoders, as folders and as configs."""

import pytest
import torch
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel

from dbeta_lib.config import TextConfig
from dbeta_lib.encoders.text import train_tokenizer

REPORTS = [
    "sinus rhythm. normal ecg.",
    "atrial fibrillation with left bundle branch block, cannot rule out inferior infarction.",
    "sinus bradycardia.",
]
ARCHITECTURES = {
    "t5": {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1,
           "num_heads": 2, "dropout_rate": 0.5},
    "bert": {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2, "intermediate_size": 32, "hidden_dropout_prob": 0.5},
    "deberta-v2": {"model_type": "deberta-v2", "hidden_size": 16, "num_hidden_layers": 1,
                   "num_attention_heads": 2, "intermediate_size": 32, "relative_attention": True,
                   "position_buckets": 8, "pos_att_type": ["p2c", "c2p"],
                   "hidden_dropout_prob": 0.5},
}  # fmt: skip


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """A folder with the text encoders `bert` and `t5` in folders of these names."""
    folder = tmp_path_factory.mktemp("encoders")
    made = {
        "bert": (BertModel, BertConfig, ARCHITECTURES["bert"]),
        "t5": (T5EncoderModel, T5Config, ARCHITECTURES["t5"]),
    }
    for name, (kind, config, sizes) in made.items():
        tokenizer = train_tokenizer(REPORTS * 3, 200, name)
        sizes = {k: v for k, v in sizes.items() if k != "model_type"}
        torch.manual_seed(1)
        kind(config(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="session")
def reports():
    return REPORTS


@pytest.fixture
def text_config():
    """`text_config("bert", freeze_text=True)` -> TextConfig of a very small encoder."""

    def make(name, **changes):
        return TextConfig(text_architecture=ARCHITECTURES[name], text_vocabulary=200, **changes)

    return make
