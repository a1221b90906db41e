"""Text encoders: frozen means frozen, and a tokenizer fits the architecture it is trained for."""

import pytest
import torch

from dbeta_lib.config import DBetaConfig, TextConfig
from dbeta_lib.encoders.text import (
    SENTINEL,
    TextEncoder,
    layout_of,
    mask_token_id,
    train_tokenizer,
)
from dbeta_lib.model import DBeta

every = pytest.mark.parametrize("name", ["t5", "bert", "deberta-v2"])
IDS = torch.tensor([[3, 5, 7, 1], [4, 1, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


@every
def test_a_frozen_encoder_has_no_dropout_no_gradient_and_keeps_its_weights(text_config, name):
    encoder = TextEncoder(text_config(name, freeze_text=True))
    parent = torch.nn.ModuleList([encoder]).train()
    assert parent.training and not any(part.training for part in encoder.modules())
    first, second = encoder(IDS, MASK), encoder(IDS, MASK)
    assert torch.equal(first, second) and not first.requires_grad
    assert not any(p.requires_grad for p in encoder.parameters())
    trained = TextEncoder(text_config(name)).train()
    still = [name for name, p in trained.named_parameters() if not p.requires_grad]
    assert all("pooler" in name for name in still), "read by no loss"
    assert not torch.equal(trained(IDS, MASK), trained(IDS, MASK))  # its dropout is on
    assert trained(IDS, MASK).requires_grad


@every
def test_what_learns_around_a_frozen_encoder_gets_its_gradient(text_config, reports, name):
    tokenizer = train_tokenizer(reports * 3, 200, layout_of(text_config(name)))
    config = DBetaConfig.preset("mini", "recommended").replace(
        text_architecture=text_config(name).text_architecture, freeze_text=True,
        text_vocabulary=len(tokenizer),
    )  # fmt: skip
    model = DBeta(config, tokenizer).train()
    assert model.text_encoder.width == 16 != config.fusion.fusion_width
    tokens = tokenizer(reports, padding=True, return_tensors="pt")
    streams = model.text_stream(tokens["input_ids"], tokens["attention_mask"])
    assert streams[1].shape[-1] == config.fusion.fusion_width  # projected
    streams[2].sum().backward()
    assert model.text_projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.text_encoder.parameters())


def test_the_layout_follows_the_architecture_and_the_pieces_are_the_same(text_config, reports):
    t5, bert = (train_tokenizer(reports * 3, 200, layout) for layout in ("t5", "bert"))
    assert layout_of(text_config("t5")) == layout_of(TextConfig()) == "t5"
    assert layout_of(text_config("deberta-v2")) == layout_of(text_config("bert")) == "bert"
    words = t5.tokenize(reports[1])
    assert words == bert.tokenize(reports[1])
    first, *middle, last = bert.convert_ids_to_tokens(bert(reports[1])["input_ids"])
    assert (first, middle, last) == ("[CLS]", words, "[SEP]")
    assert t5.convert_ids_to_tokens(t5(reports[1])["input_ids"]) == [*words, "</s>"]
    assert (t5.pad_token_id, bert.pad_token_id, t5.eos_token_id) == (0, 0, 1)
    assert mask_token_id(bert) == bert.convert_tokens_to_ids("[MASK]")
    assert mask_token_id(t5) == t5.convert_tokens_to_ids(SENTINEL) == 3
    decoded = bert.decode(bert(reports[0])["input_ids"], skip_special_tokens=True)
    assert decoded.replace(" ", "") == reports[0].replace(" ", "")


def test_a_tokenizer_is_saved_and_loaded_with_equal_ids(reports, tmp_path):
    from dbeta_lib.encoders.text import load_tokenizer

    for layout in ("t5", "bert"):
        tokenizer = train_tokenizer(reports * 3, 200, layout)
        tokenizer.save_pretrained(tmp_path / layout)
        loaded = load_tokenizer(str(tmp_path / layout))
        assert loaded(reports)["input_ids"] == tokenizer(reports)["input_ids"]
        assert loaded.mask_token_id == tokenizer.mask_token_id
