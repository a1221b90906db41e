"""The plain way and the fast way: the same batches, losses and gradients."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Attention

from dbeta_lib.packing import Packing
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.layers import recomputed
from dbeta_lib.training.recorder import Objective
from dbeta_lib.training.reference import (
    PlainBatches,
    padded,
    plain_losses,
    plain_step,
    plainly,
    relative_buckets,
)
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig
from dbeta_lib.training.start import build_model

WITHOUT_DROPOUT = {"input_dropout": 0.0, "ecg_dropout": 0.0, "attention_dropout": 0.0,
                   "fusion_dropout": 0.0}  # fmt: skip
CHANGING = {"time_shift": 0.5, "muscle_noise": 0.05}
PACKED = pytest.mark.parametrize("pack", [False, True])
GIVING_ALL = {  # what the losses read that the defaults do not
    "recommended": {
        "switches": "recommended", "fusion_layers": 2, "mem_layer": 1, "decoder_layers": 3,
    },
    "paper": {"switches": "paper", "ets_view": "full"},
}  # fmt: skip
EVERY = pytest.mark.parametrize("switches", list(GIVING_ALL))


@pytest.fixture
def make(store, tokenizer, config, table):
    """`make(kind, config, **given)` -> batches of 8."""

    def build(kind, using=None, **given):
        rows = store.rows("train")
        using = using or config(**CHANGING)
        return kind(store, rows, tokenizer, using, table, batch_size=8, seed=3, **given)

    return build


@pytest.fixture
def without_dropout(store, tokenizer, config):
    """`without_dropout(**overrides)` -> a tiny model in training mode that draws no dropout."""

    def build(**overrides):
        text = {**config().text.text_architecture, "dropout_rate": 0.0, "num_layers": 2}
        given = {"text_architecture": text, **WITHOUT_DROPOUT, **overrides}
        return build_model(config(**given), store, 1, tokenizer).train()

    return build


def gradients(losses, model):
    model.zero_grad()
    losses["total"].backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def test_the_plain_batch_is_the_fast_one_padded_to_the_limit(make, config):
    plain, fast = make(PlainBatches), make(BatchMaker)
    limit = config().text.max_text_tokens
    for step in (0, 1, 9):
        wanted = padded(fast[step], limit, fast.tokens.pad_id)
        found = plain[step]._tensors()
        assert found["input_ids"].shape[1] == limit > fast[step].input_ids.shape[1]
        assert found.keys() == wanted._tensors().keys()
        for name, tensor in wanted._tensors().items():
            assert tensor.dtype == found[name].dtype, name
            assert torch.allclose(tensor, found[name], atol=1e-6), name


@EVERY
@PACKED
def test_losses_and_gradients_are_equal_in_single_precision(make, without_dropout, switches, pack):
    model = without_dropout(**GIVING_ALL[switches])
    maker = make(BatchMaker, model.config, pack_texts=pack)
    batch, limit = maker[0], model.config.text.max_text_tokens
    fast = model(batch).losses
    plain = plain_losses(model, padded(batch, limit, maker.tokens.pad_id))
    assert plain.keys() == fast.keys()
    for name, loss in plain.items():
        assert loss.item() == pytest.approx(fast[name].item(), rel=1e-5), name
    wanted, found = gradients(plain, model), gradients(fast, model)
    assert wanted.keys() == found.keys() and len(wanted) > 50
    for name, gradient in wanted.items():
        apart, size = (gradient - found[name]).norm(), gradient.norm()
        assert apart < 1e-5 * max(1.0, float(size)), name
        assert apart < 1e-3 * size or size < 1e-6, name  # small gradients agree too


@PACKED
def test_in_bf16_both_are_as_far_from_single_precision(make, without_dropout, pack):
    """bf16 keeps 8 bits: within 1 % of each loss, and gradients that point the same way."""
    model = without_dropout()
    batch = make(BatchMaker, model.config, pack_texts=pack)[0]
    exact = plain_losses(model, batch.packed(False))
    whole = flat(gradients(exact, model))
    for forward in (lambda: model(batch).losses, lambda: plain_losses(model, batch.packed(False))):
        with torch.autocast("cpu", torch.bfloat16):
            losses = forward()
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        for name, loss in exact.items():
            assert loss.item() == pytest.approx(losses[name].item(), rel=0.01), name
        rounded = flat(gradients(losses, model))
        assert torch.cosine_similarity(whole, rounded, dim=0) > 0.999


def flat(found):
    return torch.cat([gradient.flatten() for gradient in found.values()])


def test_packing_changes_nothing_but_the_work(make, without_dropout):
    model = without_dropout(fusion_layers=2)
    batch = make(BatchMaker, model.config, pack_texts=True)[2]
    assert len(batch.text_places) == batch.attention_mask.sum() < batch.attention_mask.numel()
    packed, whole = model(batch), model(batch.packed(False))
    for kind in ("features", "logits"):
        for name, tensor in getattr(whole, kind).items():
            assert torch.allclose(tensor, getattr(packed, kind)[name], atol=1e-5), name
    half = batch.split(2)[1]
    assert len(half.text_places) == half.attention_mask.sum()
    assert model(half).losses["total"].isfinite()
    with recomputed(model):
        again = gradients(model(batch).losses, model)
    for name, gradient in gradients(model(batch).losses, model).items():
        assert torch.equal(gradient, again[name]), name


def test_packing_and_back_leaves_zeros_where_no_token_is():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]]).bool()
    packing = Packing(mask.flatten().nonzero().squeeze(1), 3, 3)
    whole = torch.randn(3, 3, 2, dtype=torch.float64, requires_grad=True)
    tokens = packing.pack(whole)
    assert torch.equal(tokens, whole[mask])
    assert torch.equal(packing.unpack(tokens), whole * mask[..., None])
    assert torch.autograd.gradcheck(lambda x: packing.unpack(packing.pack(x).sin()), whole)


def test_padding_that_is_attended_to_is_kept(make, config):
    maker = make(BatchMaker, config(text_attention_mask=False), pack_texts=True)
    assert maker[0].text_places is None
    assert make(BatchMaker, config(), pack_texts=True)[0].text_places is not None


@pytest.mark.parametrize("buckets, farthest", [(32, 64), (32, 128), (8, 20)])
def test_the_buckets_of_distances_are_t5s(buckets, farthest):
    numbers = {"relative_attention_num_buckets": buckets,
               "relative_attention_max_distance": farthest}  # fmt: skip
    attention = T5Attention(T5Config(d_model=8, d_kv=4, num_heads=2, **numbers), True)
    rows = attention.relative_attention_bias(relative_buckets(150, buckets, farthest))
    assert torch.equal(rows.permute(2, 0, 1)[None], attention.compute_bias(150, 150))


def test_written_out_attention_draws_the_same_dropout_and_leaves_nothing(make, store, tokenizer):
    maker = make(BatchMaker)
    model = build_model(maker.config, store, 1, tokenizer).train()
    fast, plain = [], []
    for found, losses in ((fast, lambda: model(maker[0]).losses),
                          (plain, lambda: plain_losses(model, maker[0]))):  # fmt: skip
        torch.manual_seed(5)
        found += [loss.item() for loss in losses().values()]
    # The decoder has no dropout, so the order of what is drawn is the same in both.
    assert fast == pytest.approx(plain, rel=1e-5)
    with plainly(model):
        assert any("forward" in vars(part) for part in model.modules())
    assert not any("forward" in vars(part) for part in model.modules())


def test_a_plain_step_learns(make, without_dropout):
    model = without_dropout()
    optimizer, _ = optimizer_and_schedule([*model.parameters()], PretrainConfig(lr=1e-3))
    batch = make(PlainBatches, model.config)[0]
    losses = [plain_step(model, batch, optimizer)["total"] for _ in range(6)]
    assert losses[-1] < losses[0]


class Asked(TorchDispatchMode):
    """Notes what a GPU would have to be waited for."""

    WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "unique", "masked_select")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.split(".")[0]
        if name in self.WAITING:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@PACKED
def test_a_step_asks_the_device_for_no_number(make, store, tokenizer, pack):
    maker = make(BatchMaker, pack_texts=pack)
    model = build_model(maker.config, store, 1, tokenizer).train()
    objective, batch = Objective(model), maker[0]
    with Asked() as asked:
        for alone in (True, False):
            loss, _ = objective(batch, alone)
            loss.backward()
        assert asked.found == []
        dataclasses.replace(batch, mlm_places=None).places()
        loss.item()
        assert asked.found == ["nonzero", "_local_scalar_dense"]
