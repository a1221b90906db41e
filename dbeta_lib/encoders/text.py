"""The text encoder: any Hugging Face encoder, by hub name, by folder, or built here from numbers.

T5 models go through `T5EncoderModel` (`AutoModel` would add a random decoder), all others through
`AutoModel`. Building from numbers contacts no hub; a name is looked up on disk first and on the hub
only when it is not there. Where no tokenizer is at hand, one is trained on the training reports.
"""

import json
from collections.abc import Iterable
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
from transformers.activations import NewGELUActivation

from dbeta_lib.config import TextConfig
from dbeta_lib.encoders.frozen import StateMemory
from dbeta_lib.encoders.layers import additive
from dbeta_lib.encoders.packed_t5 import read_packed
from dbeta_lib.encoders.pretrained import pretrained
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.packing import Packing

SENTINEL = "<extra_id_0>"  # stands for a masked word where the vocabulary has no mask token
T5_FAMILY = ("t5", "mt5", "umt5")
LAYOUTS = {  # special tokens of a tokenizer trained here, in the order of their ids
    "t5": {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": SENTINEL},
    "bert": {"pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]",
             "mask_token": "[MASK]", "cls_token": "[CLS]"},
}  # fmt: skip
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
    are: what the released code computes. With `freeze_text` it is always in evaluation mode, takes
    no gradient and, with `remember`, reads each text once (see `frozen.StateMemory`).
    """

    def __init__(
        self,
        config: TextConfig,
        load_weights: bool = True,
        vocabulary: int | None = None,
        remember: bool = False,
    ):
        super().__init__()
        self.use_mask, self.frozen = config.text_attention_mask, config.freeze_text
        if config.text_model and load_weights:
            self.model = load_text_model(config.text_model)
        else:
            architecture = text_architecture(config, vocabulary)
            build = T5EncoderModel if _is_t5(architecture) else AutoModel.from_config
            self.model = build(architecture)
        # BERT's pooler is read by no loss, and several processes wait for each gradient asked for.
        if (pooler := getattr(self.model, "pooler", None)) is not None:
            pooler.requires_grad_(False)
        self.is_t5 = _is_t5(self.model.config)
        if self.is_t5:
            _use_fused_gelu(self.model)
        self.memory = None
        if self.frozen:
            self.requires_grad_(False).eval()
            if remember and self.use_mask:
                self.memory = StateMemory(self._read)

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return self.model.config.hidden_size

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table."""
        return self.model.config.vocab_size

    def train(self, mode: bool = True) -> "TextEncoder":
        """A frozen encoder stays in evaluation mode: with dropout a text would have many states."""
        return super().train(mode and not self.frozen)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        if self.memory is not None:
            self.memory.clear()
        super()._load_from_state_dict(*args, **kwargs)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        packing: Packing | None = None,
    ) -> Tensor:
        """Ids and mask `[B, L]` -> `[B, L, width]`; with a packing the tokens' `[N, width]`."""
        if packing is not None:
            if self.is_t5 and not self.frozen:
                return read_packed(self.model, input_ids, attention_mask, packing)
            return packing.pack(self(input_ids, attention_mask))
        is_given = self.use_mask and attention_mask is not None
        mask = attention_mask if is_given else torch.ones_like(input_ids)
        if not self.frozen:
            return self._read(input_ids, mask)
        with torch.no_grad():
            return (self.memory or self._read)(input_ids, mask)

    def _read(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        # T5 takes the mask as attention adds it. From a plain one transformers makes its own, and
        # asks the device on the way whether anything is masked at all.
        if self.is_t5:
            mask = additive(mask[:, None, None].bool(), self.model.dtype)
        return self.model(input_ids=input_ids, attention_mask=mask).last_hidden_state


def load_text_model(name_or_folder: str) -> nn.Module:
    """The pre-trained encoder from a folder, the hub's cache, or the hub.

    Raises DBetaError naming the alternatives when none of them has it.
    """
    architecture = pretrained(AutoConfig, name_or_folder)
    kind = T5EncoderModel if _is_t5(architecture) else AutoModel
    return pretrained(kind, name_or_folder, dtype=torch.float32)


def _is_t5(architecture: PreTrainedConfig) -> bool:
    return architecture.model_type in T5_FAMILY


def _use_fused_gelu(model: nn.Module) -> None:
    """T5's gelu by tanh as one operation in place of eight; the same function."""
    for part in model.modules():
        if isinstance(getattr(part, "act", None), NewGELUActivation):
            part.act = nn.GELU("tanh")


def load_tokenizer(name_or_folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer from a folder, the hub's cache, or the hub. Raises DBetaError as above."""
    return pretrained(AutoTokenizer, name_or_folder)


def train_tokenizer(
    texts: Iterable[str], vocabulary: int = 2000, layout: str = "t5"
) -> PreTrainedTokenizerFast:
    """A lower-casing byte-pair tokenizer with at most `vocabulary` pieces, trained on reports.

    layout: the special tokens and where they stand. "t5": pad 0, `</s>` 1 after every text, `<unk>`
    2, and the sentinel `<extra_id_0>`, which serves as mask token. "bert": `[PAD]` 0, `[SEP]` 1
    after and `[CLS]` before every text, `[UNK]`, `[MASK]`. The pieces of both are the same, and the
    same texts give the same tokenizer.
    """
    special = LAYOUTS[layout]
    tokenizer = Tokenizer(models.BPE(unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, special_tokens=[*special.values()],
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(sorted(texts), trainer)
    first, last = special.get("cls_token", ""), special.get("sep_token") or special["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}".strip(),
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in (first, last) if t],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def layout_of(config: TextConfig) -> str:
    """The layout of a tokenizer for a text encoder built from numbers: "t5" or "bert"."""
    return "t5" if config.text_architecture.get("model_type", "t5") in T5_FAMILY else "bert"


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
