"""The text encoder: any Hugging Face encoder, by hub name, by folder, or built here from numbers.

T5 models go through `T5EncoderModel` (`AutoModel` would add a random decoder), all others through
`AutoModel`. Building from numbers contacts no hub; a name is looked up on disk first and on the hub
only when it is not there. Where no tokenizer is at hand, one is trained on the training reports.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5EncoderModel,
)

from dbeta_lib.config import TextConfig
from dbeta_lib.errors import DBetaError, UsageError

SENTINEL = "<extra_id_0>"  # stands for a masked word where the vocabulary has no mask token
T5_FAMILY = ("t5", "mt5", "umt5")
# Of a Hugging Face config: how it was stored, and what no layer is built from.
NO_ARCHITECTURE = ("transformers_version", "architectures", "dtype", "torch_dtype", "id2label",
                   "label2id")  # fmt: skip


def text_architecture(config: TextConfig, vocabulary: int | None = None) -> PreTrainedConfig:
    """The Hugging Face config of `text_architecture`; `vocabulary` fills in its size if absent."""
    values = dict(config.text_architecture)
    if "model_type" not in values:
        raise UsageError("text_architecture needs 'model_type', for example 't5' or 'bert'")
    values.setdefault("vocab_size", vocabulary or config.text_vocabulary)
    return AutoConfig.for_model(values.pop("model_type"), **values)


def architecture_of(model: nn.Module) -> dict[str, Any]:
    """`text_architecture` that builds a model of the same shapes: plain values, ready for JSON."""
    values = json.loads(json.dumps(model.config.to_dict()))
    return {k: v for k, v in values.items() if k not in NO_ARCHITECTURE and not k.startswith("_")}


class TextEncoder(nn.Module):
    """Token ids `[B, L]` -> hidden states `[B, L, width]`.

    With `text_attention_mask` False the mask is not passed on, so pads are attended to as words
    are: what the released code computes.
    """

    def __init__(
        self, config: TextConfig, load_weights: bool = True, vocabulary: int | None = None
    ):
        super().__init__()
        self.use_mask = config.text_attention_mask
        if config.text_model and load_weights:
            self.model = load_text_model(config.text_model)
        else:
            architecture = text_architecture(config, vocabulary)
            is_t5 = architecture.model_type in T5_FAMILY
            self.model = (
                T5EncoderModel(architecture) if is_t5 else AutoModel.from_config(architecture)
            )
        if config.freeze_text:
            self.requires_grad_(False)

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return self.model.config.hidden_size

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table."""
        return self.model.config.vocab_size

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        mask = attention_mask if self.use_mask else torch.ones_like(input_ids)
        return self.model(input_ids=input_ids, attention_mask=mask).last_hidden_state


def load_text_model(name_or_folder: str) -> nn.Module:
    """The pre-trained encoder from a folder, the hub's cache, or the hub.

    Raises DBetaError naming the alternatives when none of them has it.
    """
    architecture = _pretrained(AutoConfig, name_or_folder)
    is_t5 = architecture.model_type in T5_FAMILY
    return _pretrained(T5EncoderModel if is_t5 else AutoModel, name_or_folder, dtype=torch.float32)


def load_tokenizer(name_or_folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer from a folder, the hub's cache, or the hub. Raises DBetaError as above."""
    return _pretrained(AutoTokenizer, name_or_folder)


def _pretrained(cls: type, name_or_folder: str, **options):
    """`cls.from_pretrained`, disk before hub: an absent hub costs half a minute of retries."""
    folder = Path(name_or_folder)
    is_path = folder.is_absolute() or name_or_folder.startswith(".") or folder.is_dir()
    if is_path and not (folder / "config.json").exists() and cls is not AutoTokenizer:
        raise DBetaError(f"{folder} holds no text encoder (no config.json); give another folder")
    options = {"trust_remote_code": False, **options} if cls is AutoConfig else options
    try:
        return cls.from_pretrained(name_or_folder, local_files_only=True, **options)
    except (OSError, ValueError) as on_disk:
        if is_path:
            raise DBetaError(f"{folder} cannot be read as a text encoder: {on_disk}") from on_disk
    try:
        return cls.from_pretrained(name_or_folder, **options)
    except (OSError, ValueError) as error:
        raise DBetaError(
            f"neither this disk nor the hub has '{name_or_folder}'; give a local folder with its "
            "files, download it where there is a network (hf download), or leave text_model empty "
            "to train a small encoder on the reports"
        ) from error


def train_tokenizer(texts: Iterable[str], vocabulary: int = 2000) -> PreTrainedTokenizerFast:
    """A lower-casing byte-pair tokenizer with at most `vocabulary` pieces, trained on reports.

    Laid out as T5's: pad 0, `</s>` 1 (appended to every text), `<unk>` 2, and the sentinel
    `<extra_id_0>`, which serves as mask token. The same texts give the same tokenizer.
    """
    special = ["<pad>", "</s>", "<unk>", SENTINEL]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token=SENTINEL,
    )


def mask_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the mask token, or of the sentinel that serves as one (T5 has no mask token)."""
    if tokenizer.mask_token_id is not None:
        return tokenizer.mask_token_id
    found = tokenizer.convert_tokens_to_ids(SENTINEL)
    if found is None or found == tokenizer.unk_token_id:
        raise DBetaError(
            f"the tokenizer has neither a mask token nor {SENTINEL}; set mlm_masking='none' "
            "or give another tokenizer"
        )
    return found
