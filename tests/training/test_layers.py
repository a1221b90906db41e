"""Layers recomputed or compiled while a model trains: the same gradient, and nothing is left."""

from copy import deepcopy

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from dbeta_lib.encoders.layers import TransformerLayer
from dbeta_lib.fusion import FusionLayer
from dbeta_lib.heads import DecoderBlock
from dbeta_lib.n3s import RandomNegatives
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.layers import compiled, layers_of, recomputed
from dbeta_lib.training.start import build_model


@pytest.fixture(scope="module")
def batch(store, tokenizer, config):
    reports = RandomNegatives(store.records["report_id"].to_numpy().clip(0))
    rows = store.rows("train")
    return BatchMaker(store, rows, tokenizer, config(), reports, batch_size=8, seed=0)[0]


@pytest.fixture
def model(store, tokenizer, config):
    sizes = {"ecg_layers": 2, "fusion_layers": 2, "decoder_layers": 2}
    return build_model(config(**sizes), store, 1, tokenizer).train()


def gradients(model, batch):
    """Gradients by name with dropout drawn from one seed, and the bytes kept for the backward."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.zero_grad()
    torch.manual_seed(3)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(batch).losses["total"]
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return found, sum(size for place, size in kept.items() if place not in weights)


def test_layers_of_all_parts_are_found_once(model):
    layers = layers_of(model)
    kinds = [type(layer).__name__ for layer in layers]
    for kind, number in ((TransformerLayer, 2), (FusionLayer, 4), (DecoderBlock, 2)):
        assert kinds.count(kind.__name__) == number
    assert kinds.count("T5Block") == 1 and len(layers) == 9
    assert len({id(layer) for layer in layers}) == 9


def test_recomputed_layers_give_the_same_gradient_and_keep_less(model, batch):
    plain, kept = gradients(model, batch)
    with recomputed(model):
        again, kept_less = gradients(model, batch)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert kept_less < 0.6 * kept
    assert gradients(model, batch)[1] == kept  # nothing of it is left
    assert gradients(deepcopy(model), batch)[1] == kept


@pytest.mark.slow
@pytest.mark.parametrize("switches", ["paper", "recommended"])
@pytest.mark.parametrize("pack", [False, True])
def test_compiled_layers_give_the_gradient_without_dropout(
    store, tokenizer, config, batch, switches, pack
):
    sizes = {"ecg_layers": 2, "fusion_layers": 2, "decoder_layers": 2}
    model = build_model(config(switches=switches, **sizes), store, 1, tokenizer).train()
    batch = batch.packed(pack)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if hasattr(part, "dropout") and isinstance(part.dropout, float):
            part.dropout = 0.0
    plain, _ = gradients(model, batch)
    # Validation comes first, as in a run, and no layer may be left uncompiled after it.
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True), compiled(model):
        model.eval()
        with torch.no_grad():
            model(batch)
        again, _ = gradients(model.train(), batch)
    for name, value in plain.items():
        assert torch.allclose(value, again[name], atol=1e-5 * float(1 + value.abs().max())), name
    assert all(layer._compiled_call_impl is None for layer in layers_of(model))
