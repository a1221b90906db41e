"""MERL against its formulas: the attention pooling, the two contrasts, what is frozen."""

import pytest
import torch

from dbeta_lib.comparisons.merl import MERL, AttentionPool


@pytest.fixture
def merl(config, tokenizer):
    torch.manual_seed(0)
    return MERL.build(config(), tokenizer, width=4).double()


def test_attention_pooling_is_one_query_over_the_map():
    torch.manual_seed(0)
    pool, x = AttentionPool(5, 8, 2).double(), torch.randn(3, 5, 8, dtype=torch.float64)
    tokens = torch.cat([pool.query.expand(3, -1, -1), x], 1) + pool.positions
    weight, bias = pool.attention.in_proj_weight, pool.attention.in_proj_bias
    q, k, v = (tokens @ weight[8 * i : 8 * i + 8].T + bias[8 * i : 8 * i + 8] for i in range(3))
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        share = torch.softmax(torch.einsum("bd,bnd->bn", q[:, 0, h], k[..., h]) / 2, dim=1)
        heads.append(torch.einsum("bn,bnd->bd", share, v[..., h]))
    expected = pool.attention.out_proj(torch.cat(heads, 1))
    torch.testing.assert_close(pool(x), expected)


def test_the_losses_are_two_symmetric_contrasts_at_the_fixed_temperature(slow, merl, batch):
    one = batch()
    merl.eval()  # no dropout: the two views are two matrices
    ecg = one.ecg * one.lead_mask[..., None]
    found = merl.resnet.stages(merl.resnet.stem(ecg))
    mean = merl.reduce(found).mean(-1)
    a, b = (mean @ view[0].weight.T for view in merl.views)
    text = merl.text_features(one.input_ids, one.attention_mask)
    output = merl(one)
    assert float(output.losses["uma"]) == pytest.approx(2 * slow.info_nce(a, b, 1 / 0.07), abs=1e-6)
    cma = 2 * slow.info_nce(merl._features(ecg), text, 1 / 0.07)
    assert float(output.losses["cma"]) == pytest.approx(cma, abs=1e-6)
    total = output.losses["cma"] + output.losses["uma"]
    assert torch.equal(output.losses["total"], total)
    torch.testing.assert_close(merl.describe(ecg), found.mean(-1))


def test_in_training_the_views_differ_by_dropout(merl, batch):
    with torch.no_grad():
        merl.views[1][0].weight.copy_(merl.views[0][0].weight)
        found = batch().ecg.mean(-1)[:, :1].expand(-1, 16)
        one, other = (view(found) for view in merl.views)
    assert not torch.equal(one, other)


def test_each_contrast_teaches_its_own_parts(merl, batch):
    def learns(loss):
        merl.zero_grad(set_to_none=True)
        merl(batch()).losses[loss].backward()
        return {n.split(".")[0] for n, p in merl.named_parameters() if p.grad is not None}

    shared = {"resnet", "reduce"}
    assert learns("cma") == shared | {"pool", "text_encoder", "text_head"}
    assert learns("uma") == shared | {"views"}


def test_a_text_encoder_with_trained_weights_is_frozen(config, tokenizer, tmp_path, merl, batch):
    merl.float().text_encoder.model.save_pretrained(tmp_path / "t5")
    named = MERL.build(config(text_model=str(tmp_path / "t5")), tokenizer, width=4).double()
    named(batch()).losses["total"].backward()
    parts = {n.split(".")[0] for n, p in named.named_parameters() if p.grad is not None}
    assert "text_head" in parts and "text_encoder" not in parts
    assert torch.equal(
        named.text_encoder.model.shared.weight.float(), merl.text_encoder.model.shared.weight
    )


def test_at_500_hz_the_map_and_the_number_of_weights_are_the_published(config, tokenizer):
    full = config(samples=5000, sampling_rate=500, conv_layers=((16, 2, 2),) * 4, fusion_width=256)
    model = MERL.build(full, tokenizer)
    assert model.pool.positions.shape == (1, 314, 256)
    with torch.no_grad():
        assert model._map(torch.zeros(1, 12, 5000)).shape == (1, 256, 313)
    weights = sum(p.numel() for n, p in model.named_parameters() if n.startswith("resnet."))
    assert 3.8e6 < weights < 3.9e6
