"""The network's shapes, invariances and files; every switch does what it says."""

import copy
import shutil

import numpy as np
import pytest
import torch

from dbeta_lib import Batch, DBeta, DBetaConfig
from dbeta_lib.encoders.ecg import random_masking
from dbeta_lib.encoders.text import train_tokenizer
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.inference import length_groups

REPORTS = [
    "sinus rhythm. normal ecg.",
    "atrial fibrillation with rapid ventricular response.",
    "left bundle branch block.",
    "sinusrhythmus linkstyp, sonst normales ekg",
]
TINY = {
    "samples": 320,
    "conv_layers": ((8, 2, 2), (16, 2, 2), (16, 2, 2), (16, 2, 2)),
    "ecg_width": 16,
    "ecg_ffn": 32,
    "ecg_heads": 2,
    "ecg_layers": 2,
    "position_kernel": 4,
    "position_groups": 2,
    "fusion_width": 24,
    "fusion_heads": 2,
    "fusion_layers": 2,
    "decoder_width": 8,
    "decoder_layers": 1,
    "decoder_heads": 2,
    "text_vocabulary": 200,
    "text_architecture": {
        "model_type": "t5",
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 1,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
        "pad_token_id": 0,
        "eos_token_id": 1,
    },
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(REPORTS, 200)


def tiny(tokenizer=None, switches="paper", **overrides):
    torch.manual_seed(0)
    return DBeta(DBetaConfig.preset("mini", switches, **{**TINY, **overrides}), tokenizer)


def batch_of(model, tokenizer, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = tokenizer(REPORTS, padding=True, return_tensors="pt")
    labels = tokens["input_ids"].clone()
    labels[:, ::2] = -100
    labels[tokens["attention_mask"] == 0] = -100
    n = len(REPORTS)
    return Batch(
        ecg=torch.randn(n, model.config.ecg.channels, 320, generator=generator),
        lead_mask=torch.rand(n, model.config.ecg.channels, generator=generator) > 0.3,
        input_ids=tokens["input_ids"],
        attention_mask=tokens["attention_mask"],
        mlm_labels=labels,
        is_aligned=torch.tensor([1.0, 0.0, 1.0, 1.0]),
        report_id=torch.arange(n),
        text_report_id=torch.tensor([0, 3, 2, 3]),
        ecg_noise=torch.rand(n, model.tokens, generator=generator),
    )


def test_mini_has_one_to_three_million_parameters_and_a_hundred_hertz():
    model = DBeta(DBetaConfig.preset("mini"))
    assert 1e6 < sum(p.numel() for p in model.parameters()) < 3e6
    assert model.sampling_rate == 100
    assert model.encode_ecg(torch.randn(2, 12, 1000)).shape == (2, 128)


@pytest.mark.parametrize("switches", ["paper", "released", "recommended"])
def test_losses_features_and_logits_are_named_and_finite(tokenizer, switches):
    model = tiny(tokenizer, switches)
    output = model(batch_of(model, tokenizer))
    assert set(output.losses) == {"mlm", "mem", "etm", "ets", "total"}
    assert set(output.features) == {"ecg", "text", "fused"}
    assert all(torch.isfinite(loss) for loss in output.losses.values())
    goal = model.config.objective
    weights = {k: getattr(goal, f"{k}_weight") for k in ("mlm", "mem", "etm", "ets")}
    parts = sum(weight * output.losses[k] for k, weight in weights.items())
    assert torch.isclose(output.losses["total"], parts)
    masked = int((batch_of(model, tokenizer).mlm_labels != -100).sum())
    assert output.logits["mlm"].shape == (masked, 200)  # vocabulary logits at masked words alone
    output.losses["total"].backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("mem_layer", [0, 1, -1])
def test_mem_alone_is_the_mem_of_all_four(tokenizer, mem_layer):
    model = tiny(tokenizer, mem_layer=mem_layer).eval()
    batch = batch_of(model, tokenizer)
    assert torch.equal(model.mem_alone(batch), model(batch).losses["mem"])


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_samples_of_removed_tokens_are_those_of_all_tokens_at_their_places(tokenizer, blocks):
    model = tiny(tokenizer, decoder_layers=blocks).eval()
    head = model.mem_head
    torch.nn.init.normal_(head.predict.weight, std=0.1)  # it starts at the flat line
    torch.nn.init.normal_(head.mask_token, std=1.0)
    hidden = torch.randn(3, 1 + 8, model.config.fusion.fusion_width)
    _, restore, mask = random_masking(torch.rand(3, 20), 8)
    order = restore.argsort(1)
    whole, removed = head(hidden, restore), head(hidden, restore, order)
    assert removed.shape[1] == 12 and mask.gather(1, order[:, 8:]).all()
    assert torch.allclose(removed, whole[torch.arange(3)[:, None], order[:, 8:]], atol=1e-5)
    assert removed.std(1).mean() > 0.01  # tokens differ, so places count


def test_the_class_token_alone_is_the_first_of_all_tokens(tokenizer):
    model = tiny(tokenizer, mem_layer=0, fusion_layers=2).eval()
    batch = batch_of(model, tokenizer)
    given = *model.seen(batch)[:1], batch.input_ids, batch.attention_mask, batch.ecg_noise
    whole, alone = model.streams(*given), model.streams(*given, class_token_alone=True)
    assert alone.ecg_states[-1].shape[1] == 1 < whole.ecg_states[-1].shape[1]
    assert torch.allclose(alone.ecg_states[-1], whole.ecg_states[-1][:, :1], atol=1e-6)
    assert torch.equal(alone.ecg_states[-2], whole.ecg_states[-2])
    assert torch.allclose(alone.fused, whole.fused, atol=1e-6)


def test_mem_alone_reads_no_text_where_it_comes_before_fusion(tokenizer):
    model = tiny(tokenizer, mem_layer=0)
    batch = batch_of(model, tokenizer)
    model.mem_alone(batch).backward()
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert trained == {"ecg_encoder", "ecg_projection", "fusion", "mem_head"}
    batch.input_ids = None
    model.mem_alone(batch)


def test_loss_weights_scale_the_total(tokenizer):
    model = tiny(tokenizer, mlm_weight=2.0, mem_weight=0.0, etm_weight=0.5)
    losses = model.eval()(batch_of(model, tokenizer)).losses
    expected = 2 * losses["mlm"] + 0.5 * losses["etm"] + losses["ets"]
    assert torch.isclose(losses["total"], expected)


@pytest.mark.parametrize(
    "change",
    [
        {"mask_before_positions": True},
        {"amplitude_token": True},
        {"ecg_pooling": "mean"},
        {"text_pooling": "mean"},
        {"ets_head": "dense_tanh"},
        {"ets_learnable": True},
        {"ets_unit_vectors": True},
        {"ets_reduction": "mean"},
        {"ets_positives": "same_report"},
        {"ets_view": "full"},
        {"mem_target": "undropped"},
        {"mem_scaling": "patch"},
        {"mem_layer": 1},
        {"lead_order": "mimic"},
        {"text_attention_mask": False},
        {"mask_ratio": 0.5},
        {"norm_first": True},
    ],
    ids=lambda c: next(iter(c)),
)
def test_each_switch_of_the_network_changes_a_loss(tokenizer, change):
    plain, switched = tiny(tokenizer).eval(), tiny(tokenizer, **change).eval()
    torch.nn.init.normal_(plain.mem_head.predict.weight, std=0.1)  # it starts at the flat line
    shared = {k: v for k, v in plain.state_dict().items() if k in switched.state_dict()}
    switched.load_state_dict(shared, strict=False)
    batch = batch_of(plain, tokenizer)
    before, after = plain(batch).losses, switched(batch).losses
    assert any(not torch.isclose(before[k], after[k], rtol=1e-6) for k in before)


def test_the_eight_samples_of_a_batch_can_be_learnt(tokenizer):
    model = tiny(tokenizer)
    batch = batch_of(model, tokenizer)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first = None
    for _ in range(40):
        losses = model(batch).losses
        first = first or {k: float(v.detach()) for k, v in losses.items()}
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    last = {k: float(v.detach()) for k, v in losses.items()}
    assert all(last[k] < first[k] for k in first), (first, last)


def test_masking_removes_three_quarters_and_restore_undoes_the_shuffle():
    noise = torch.rand(3, 40)
    keep, restore, mask = random_masking(noise, 10)
    assert mask.sum(dim=1).tolist() == [30, 30, 30]
    for row in range(3):
        smallest = set(noise[row].argsort()[:10].tolist())
        assert set(keep[row].tolist()) == smallest
        assert {i for i in range(40) if mask[row, i] == 0} == smallest
        shuffled = torch.arange(40)[noise[row].argsort()]
        assert torch.equal(shuffled[restore[row]], torch.arange(40))


def test_removed_samples_leak_through_the_convolution_unless_masked_before(tokenizer):
    """The released order lets visible tokens know of removed ones; the switch closes that."""
    for before, leaks in ((False, True), (True, False)):
        model = tiny(tokenizer, mask_before_positions=before).eval()
        model.ecg_encoder.stem.channel_norm = torch.nn.Identity()  # its statistics span all time
        batch = batch_of(model, tokenizer)
        noise = batch.ecg_noise
        mask = random_masking(noise, model.config.ecg.kept)[2]
        changed = batch.ecg.clone()
        for row in range(len(batch)):
            for token in torch.nonzero(mask[row]).flatten().tolist():
                changed[row, :, token * 16 : (token + 1) * 16] += 1.0
        with torch.no_grad():
            gap = model.ecg_encoder(batch.ecg, noise)[0] - model.ecg_encoder(changed, noise)[0]
        assert (gap.abs().max() > 1e-4) == leaks


def test_amplitude_is_lost_in_the_first_norm_and_kept_by_the_amplitude_token(tokenizer):
    ecg = torch.randn(2, 12, 320)
    plain, with_level = tiny(tokenizer), tiny(tokenizer, amplitude_token=True)
    assert torch.allclose(plain.encode_ecg(ecg), plain.encode_ecg(10 * ecg), atol=1e-4)
    assert not torch.allclose(
        with_level.encode_ecg(ecg), with_level.encode_ecg(10 * ecg), atol=1e-4
    )


def test_text_features_ignore_padding_with_the_mask_and_depend_on_it_as_released(tokenizer):
    ids = tokenizer(REPORTS[:1], return_tensors="pt")["input_ids"]
    padded = torch.nn.functional.pad(ids, (0, 6))
    for switches, invariant in (("paper", True), ("released", False)):
        model = tiny(tokenizer, switches)
        alone = model.encode_tokens(ids, torch.ones_like(ids))
        with_pads = model.encode_tokens(padded, (padded != 0).long())
        assert torch.allclose(alone, with_pads, atol=1e-5) == invariant


@pytest.mark.parametrize("switches", ["paper", "released"])
def test_encode_text_gives_each_text_what_it_gets_alone(tokenizer, switches):
    model = tiny(tokenizer, switches)
    together = model.encode_text([*REPORTS, REPORTS[0].upper() + "  "])
    for row, text in enumerate(REPORTS):
        assert torch.allclose(together[row], model.encode_text([text])[0], atol=1e-5)
    assert torch.allclose(together[0], together[4], atol=1e-5)


def test_encoding_needs_no_eval_call_and_leaves_the_mode_alone(tokenizer):
    model = tiny(tokenizer).train()
    ecg = torch.randn(2, 12, 320)
    assert torch.equal(model.encode_ecg(ecg), model.encode_ecg(ecg))
    assert model.training
    assert not model.encode_ecg(ecg).requires_grad


def test_absent_leads_count_as_zeros_whatever_they_hold(tokenizer):
    model = tiny(tokenizer)
    ecg = torch.randn(2, 12, 320)
    mask = torch.ones(12, dtype=torch.bool)
    mask[3:] = False
    zeroed = ecg * mask[:, None]
    assert torch.allclose(model.encode_ecg(ecg, mask), model.encode_ecg(zeroed), atol=1e-6)
    assert not torch.allclose(model.encode_ecg(ecg, mask), model.encode_ecg(ecg), atol=1e-3)


def test_mimic_lead_order_swaps_avl_and_avf_before_the_stem(tokenizer):
    standard, mimic = tiny(tokenizer), tiny(tokenizer, lead_order="mimic")
    mimic.load_state_dict(standard.state_dict())
    ecg = torch.randn(2, 12, 320)
    swapped = ecg[:, [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]]
    assert torch.allclose(standard.encode_ecg(ecg), mimic.encode_ecg(swapped), atol=1e-6)


def test_another_signal_is_a_number_of_channels(tokenizer):
    model = tiny(tokenizer, channels=19)
    assert model(batch_of(model, tokenizer)).logits["mem"].shape[2] == 19
    assert model.leads == ()


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_other_text_encoders_are_a_config(tokenizer, architecture):
    sizes = {
        "bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                 "intermediate_size": 32},
        "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
    }[architecture]  # fmt: skip
    model = tiny(tokenizer, text_architecture={"model_type": architecture, **sizes})
    assert torch.isfinite(model(batch_of(model, tokenizer)).losses["total"])


def test_a_local_folder_gives_text_weights_and_a_name_nobody_has_names_alternatives(
    tokenizer, tmp_path, monkeypatch
):
    source = tiny(tokenizer)
    source.text_encoder.model.save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    model = tiny(text_model=str(tmp_path / "t5"))
    assert torch.equal(
        model.text_encoder.model.shared.weight, source.text_encoder.model.shared.weight
    )
    assert model.encode_text(REPORTS[:1]).shape == (1, 24)
    with pytest.raises(DBetaError, match="holds no text encoder"):
        tiny(text_model=str(tmp_path / "nothing"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DBetaError, match="neither this disk nor the hub has 'no/such-model'"):
        tiny(text_model="no/such-model")


@pytest.mark.parametrize("is_looked_up", [False, True])
@pytest.mark.parametrize("family", ["t5", "bert"])
def test_a_model_on_another_text_encoder_opens_again_without_its_folder(
    tokenizer, tmp_path, family, is_looked_up
):
    sizes = {
        "t5": {"d_model": 40, "d_kv": 10, "d_ff": 48, "num_layers": 2, "num_heads": 4},
        "bert": {"hidden_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
                 "intermediate_size": 48},
    }[family]  # fmt: skip
    base = {"model_type": family, "vocab_size": 211, **sizes}  # 211: more rows than pieces
    source = tiny(tokenizer, text_architecture=base)
    source.text_encoder.model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")

    model = tiny(text_model=str(tmp_path / "base"))
    assert model.config.text.text_architecture.items() >= base.items()
    assert DBetaConfig.from_json(model.config.to_json()) == model.config
    texts = model.encode_text(REPORTS) if is_looked_up else None
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(tmp_path / "base")
    loaded = DBeta.from_pretrained(tmp_path / "model")
    assert loaded.config == model.config
    assert torch.equal(
        loaded.encode_text(REPORTS), model.encode_text(REPORTS) if texts is None else texts
    )


def test_saved_and_loaded_models_agree_tokenizer_included(tokenizer, tmp_path):
    model = tiny(tokenizer, ets_learnable=True)
    model.save_pretrained(tmp_path / "model")
    loaded = DBeta.from_pretrained(tmp_path / "model")
    assert loaded.config == model.config
    assert not loaded.training
    ecg = torch.randn(2, 12, 320)
    assert torch.equal(loaded.encode_ecg(ecg), model.encode_ecg(ecg))
    assert torch.equal(loaded.encode_text(REPORTS), model.encode_text(REPORTS))
    assert (tmp_path / "model" / "README.md").exists()


def test_damaged_or_foreign_model_folders_are_named(tokenizer, tmp_path):
    with pytest.raises(DBetaError, match=r"config\.json is missing"):
        (tmp_path / "empty").mkdir()
        DBeta.from_pretrained(tmp_path / "empty")
    tiny(tokenizer).save_pretrained(tmp_path / "model")
    other = DBetaConfig.preset("mini", **{**TINY, "ecg_layers": 1})
    (tmp_path / "model" / "config.json").write_text(other.to_json())
    with pytest.raises(DBetaError, match="does not fit"):
        DBeta.from_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"ecg": {"ecg_layers": "two"}}')
    with pytest.raises(DBetaError, match=r"config\.json: ecg_layers='two' must be a whole number"):
        DBeta.from_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(tiny().config.to_json())
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DBetaError, match="damaged"):
        DBeta.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("ecg", "sentence"),
    [
        (torch.randn(2, 12, 1600), "at 100 Hz; resample"),
        (torch.randn(2, 8, 320), r"takes \[B, 12, 320\]"),
        (torch.randn(12, 320), r"takes \[B, 12, 320\]"),
        (torch.randn(2, 12, 320) * 1e-4, "volts"),
        (torch.randn(2, 12, 320) * 1e3, "microvolts"),
        (torch.full((1, 12, 320), float("nan")), "NaN"),
    ],
)
def test_an_ecg_of_wrong_shape_rate_unit_or_with_nan_is_refused(ecg, sentence):
    with pytest.raises(UsageError, match=sentence):
        tiny().encode_ecg(ecg)


def test_texts_without_tokenizer_or_as_a_bare_string_are_refused(tokenizer):
    with pytest.raises(DBetaError, match="no tokenizer"):
        tiny().encode_text(["sinus rhythm"])
    with pytest.raises(UsageError, match="list of texts"):
        tiny(tokenizer).encode_text("sinus rhythm")
    big = copy.deepcopy(tokenizer)
    big.add_tokens([f"word{i}" for i in range(300)])
    with pytest.raises(UsageError, match="embeddings"):
        tiny(big)


def test_reconstruction_gives_target_prediction_and_mask(tokenizer):
    model = tiny(tokenizer)
    out = model.reconstruct(torch.randn(2, 12, 320), noise=torch.rand(2, 20), texts=REPORTS[:2])
    assert out["prediction"].shape == out["target"].shape == (2, 12, 320)
    assert out["mask"].sum(dim=1).tolist() == [15, 15]
    assert np.allclose(out["target"].mean(dim=2).numpy(), 0, atol=1e-5)


def test_length_groups_cover_every_index_once_and_keep_lengths_apart_when_asked():
    lengths = [3, 9, 3, 4, 9, 9, 1]
    for equal in (False, True):
        groups = length_groups(lengths, 2, equal)
        assert sorted(i for g in groups for i in g) == list(range(7))
        assert all(len(g) <= 2 for g in groups)
    assert all(len({lengths[i] for i in g}) == 1 for g in length_groups(lengths, 2, True))


def test_batch_moves_every_field(tokenizer):
    batch = batch_of(tiny(tokenizer), tokenizer)
    moved = batch.to("cpu")
    before = {k: v for k, v in vars(batch).items() if v is not None}
    assert {k for k, v in vars(moved).items() if v is not None} == before.keys()
    for name, value in before.items():
        assert torch.equal(getattr(moved, name), value)
