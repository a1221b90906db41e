"""Parity with the official network on its own random weights, tensor by tensor."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dbeta_lib import official_names
from dbeta_lib.config import DBetaConfig
from dbeta_lib.encoders.ecg import strided
from dbeta_lib.errors import DBetaError
from dbeta_lib.model import DBeta
from dbeta_lib.released import check_parity, load_parity_model, parity_batch

FIXTURES = Path(__file__).parent / "fixtures"
PARITY = FIXTURES / "parity_a.npz"


@pytest.fixture(scope="module")
def parity():
    return load_parity_model(PARITY)


def test_every_official_output_is_within_2e_5_and_every_loss_within_1e_5():
    differences = check_parity(PARITY)
    with np.load(PARITY) as file:
        assert set(differences) == {n for n in file.files if n.startswith("out/")}
    too_far = {
        name: gap
        for name, gap in differences.items()
        if not gap <= (1e-5 if "/loss_" in name else 2e-5)
    }
    assert not too_far


def test_check_parity_reports_a_changed_weight_and_a_missing_output(tmp_path):
    with np.load(PARITY) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["w/itm_head.fc.weight"] = arrays["w/itm_head.fc.weight"] + 0.1
    arrays["out/m/nosuch"] = np.zeros(3)
    np.savez(tmp_path / "changed.npz", **arrays)
    differences = check_parity(tmp_path / "changed.npz")
    assert differences["out/m/etm_logits"] > 1e-2
    assert differences["out/m/ecg_pooled"] < 2e-5
    assert differences["out/m/nosuch"] == float("inf")


def test_gradient_norms_agree_within_a_thousandth(parity):
    model, entries = parity
    with np.load(PARITY) as file:
        expected = dict(zip(file["grad_names"], file["grad_norms"], strict=True))
    model.zero_grad()
    model(parity_batch(entries)).losses["total"].backward()
    ours = {official_names.to_official(n): p.grad for n, p in model.named_parameters()}
    compared = 0
    for name, norm in expected.items():
        if norm < 1e-6:
            continue
        assert float(ours[name].norm()) == pytest.approx(norm, rel=1e-3), name
        compared += 1
    assert compared > 200


def _record(model, modules):
    """Hooks that keep the output (and input) of each named module in one pass."""
    kept, handles = {}, []
    for name, module in modules.items():

        def hook(_, args, kwargs, output, name=name):
            output = output[0] if isinstance(output, tuple) else output
            kept[name] = (args, kwargs, output)

        handles.append(module.register_forward_hook(hook, with_kwargs=True))
    return kept, handles


def _watched(model):
    ecg, text, fusion, mem = (
        model.ecg_encoder,
        model.text_encoder.model,
        model.fusion,
        model.mem_head,
    )
    modules = {
        "conv_block_0_conv": ecg.stem.convs[0],
        "conv_block_0_groupnorm": ecg.stem.channel_norm,
        "feature_norm": ecg.stem.norm,
        "post_extract_proj": ecg.stem.project,
        "pos_conv_raw": ecg.positions.conv,
        "pos_conv_out": ecg.positions,
        "encoder_input_norm": ecg.norm,
        "t5_embed": text.encoder.embed_tokens,
        "t5_final_norm": text.encoder.final_layer_norm,
        "mlm_transform": model.mlm_head.norm,
        "mem_decoder_embed": mem.embed,
        "mem_decoder_norm": mem.norm,
        "mem_decoder_pred": mem.predict,
    }
    for i, layer in enumerate(ecg.layers):
        modules |= {
            f"layer_{i}_attn_out": layer.attention,
            f"layer_{i}_norm1": layer.attention_norm,
            f"layer_{i}_ffn_out": layer.ffn_out,
            f"layer_{i}": layer,
        }
    for i, block in enumerate(text.encoder.block):
        modules[f"t5_block_{i}"] = block
    for i, block in enumerate(mem.blocks):
        modules[f"mem_block_{i}"] = block
    for stream, layers in (("text", fusion.text_layers), ("ecg", fusion.ecg_layers)):
        for i, layer in enumerate(layers):
            modules |= {
                f"fusion_{stream}_{i}_self": layer.self_norm,
                f"fusion_{stream}_{i}_cross": layer.cross_norm,
                f"fusion_{stream}_{i}_self_probs": layer.self_attention,
                f"fusion_{stream}_{i}_cross_probs": layer.cross_attention,
            }
    return modules


@pytest.mark.parametrize("view", ["m", "u"])
def test_every_intermediate_agrees_within_2e_5(parity, view):
    model, entries = parity
    batch = parity_batch(entries)
    watched = _watched(model)
    kept, handles = _record(model, watched)
    with torch.no_grad():
        noise = batch.ecg_noise if view == "m" else None
        streams = model.streams(batch.ecg, batch.input_ids, batch.attention_mask, noise)
        if view == "m":  # all words and all samples, as the official masked pass has them
            model.mlm_head(streams.text_states[-1])
            model.samples(streams)
            model.etm_head(streams.fused)
        ours = {name: value[2] for name, value in kept.items()}
        for name in [n for n in ours if n.endswith("_probs")]:
            args, kwargs, _ = kept[name]
            kwargs = {key: value for key, value in kwargs.items() if key == "keys_kept"}
            ours[name] = watched[name].probabilities(*args[:3], **kwargs)
        # Ours computes positions only at the tokens that it keeps.
        positions, given = watched["pos_conv_out"], kept["pos_conv_out"][0][0]
        ours |= {"pos_conv_out": positions(given), "pos_conv_raw": positions.conv(given.mT)}
        x = ours["conv_block_0"] = F.gelu(ours["conv_block_0_groupnorm"])
        for i, conv in enumerate(model.ecg_encoder.stem.convs[1:], 1):
            x = F.gelu(strided(x.transpose(1, 2), conv)).transpose(1, 2)
            ours[f"conv_block_{i}"] = x
        if view == "m":
            hidden = kept["mem_decoder_embed"][0][0]
            restore = entries["out/m/mem_ids_restore"]
            ours["mem_after_pos_embed"] = model.mem_head.unshuffle(hidden, restore)
    for handle in handles:
        handle.remove()
    with np.load(FIXTURES / "parity_a_frontend.npz") as file:
        names = [n for n in file.files if n.startswith(f"{view}/")]
        assert len(names) > 30
        for name in names:
            value = ours[name[2:]].numpy().reshape(file[name].shape)
            assert np.abs(value - file[name]).max() <= 2e-5, name


def test_released_model_is_in_evaluation_mode_and_the_given_dict_is_unchanged():
    with np.load(PARITY) as file:
        weights = {n[2:]: torch.from_numpy(file[n]) for n in file.files if n.startswith("w/")}
        config = json.loads(str(file["config"]))
        ecg = torch.from_numpy(file["in/ecg"])
        expected = file["out/zs/ecg_embedding"]
    weights["ecg_encoder.mask_emb"] = torch.zeros(3)
    before = {name: value.clone() for name, value in weights.items()}
    model = DBeta.from_released({"model": weights}, config=config)
    assert not model.training
    assert list(weights) == list(before)
    assert all(torch.equal(weights[n], before[n]) for n in before)
    assert np.abs(model.encode_ecg(ecg).numpy() - expected).max() < 2e-5
    swapped = ecg[:, [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]]
    mimic = DBeta.from_released(weights, config=config, lead_order="mimic")
    assert np.abs(mimic.encode_ecg(swapped).numpy() - expected).max() < 2e-5


def test_missing_and_unknown_weights_are_listed_by_official_name(tmp_path):
    with np.load(PARITY) as file:
        weights = {n[2:]: torch.from_numpy(file[n]) for n in file.files if n.startswith("w/")}
        config = str(file["config"])
    del weights["unimodal_ecg_pooler.dense.bias"]
    weights["extra.thing"] = torch.zeros(1)
    weights["itm_head.fc.bias"] = torch.zeros(7)
    with pytest.raises(DBetaError) as error:
        DBeta.from_released(weights, config=config)
    message = str(error.value)
    assert "missing: unimodal_ecg_pooler.dense.bias" in message
    assert "unknown: extra.thing" in message
    assert "itm_head.fc.bias [7], expected [2]" in message


def test_weights_of_another_size_are_told_in_a_few_words_with_the_remedy_first():
    with np.load(PARITY) as file:
        weights = {n[2:]: torch.zeros(1) for n in file.files if n.startswith("w/")}
        config = str(file["config"])
    with pytest.raises(DBetaError, match=r"give the one .*--released-config") as error:
        DBeta.from_released(weights, config=config)
    assert len(str(error.value)) < 500 and f"and {len(weights) - 3} more" in str(error.value)


def test_checkpoint_files_load_and_newer_weight_norm_names_are_understood(tmp_path):
    with np.load(PARITY) as file:
        weights = {n[2:]: torch.from_numpy(file[n]) for n in file.files if n.startswith("w/")}
        config = json.loads(str(file["config"]))
        ecg, expected = torch.from_numpy(file["in/ecg"]), file["out/zs/ecg_embedding"]
    conv = "ecg_encoder.conv_pos.pos_conv.0"
    weights[f"{conv}.parametrizations.weight.original0"] = weights.pop(f"{conv}.weight_g")
    weights[f"{conv}.parametrizations.weight.original1"] = weights.pop(f"{conv}.weight_v")
    torch.save({"model": weights, "args": None}, tmp_path / "checkpoint.pt")
    model = DBeta.from_released(tmp_path / "checkpoint.pt", config=config)
    assert np.abs(model.encode_ecg(ecg).numpy() - expected).max() < 2e-5


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_that_is_no_state_dict_is_refused_unopened(tmp_path, capsys):
    torch.save({"model": Harmful()}, tmp_path / "bad.pt")
    with pytest.raises(DBetaError, match=r"bad\.pt is no plain weights file"):
        DBeta.from_released(tmp_path / "bad.pt")
    assert "must never run" not in capsys.readouterr().out
    (tmp_path / "table.pt").write_text("record,report\nr1,sinus rhythm\n")
    with pytest.raises(DBetaError, match=r"table\.pt is no plain weights file"):
        DBeta.from_released(tmp_path / "table.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(DBetaError, match=r"text\.pt is no plain weights file"):
        DBeta.from_released(tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DBetaError, match=r"list\.pt holds no state dict"):
        DBeta.from_released(tmp_path / "list.pt")
    with pytest.raises(DBetaError, match=r"nosuch\.pt is not there"):
        DBeta.from_released(tmp_path / "nosuch.pt")


def test_the_645_official_names_and_shapes_are_the_full_size_presets_both_ways():
    entries = json.loads((FIXTURES / "manifest.json").read_text())["entries"]
    assert len(entries) == 645
    with torch.device("meta"):
        model = DBeta(DBetaConfig.preset("released"))
    own = model.state_dict()
    ours_as_official = {official_names.to_official(n): list(v.shape) for n, v in own.items()}
    assert ours_as_official == {n: e["shape"] for n, e in entries.items()}
    assert {official_names.from_official(n) for n in entries} == set(own)
    assert sum(p.numel() for p in model.parameters()) == 321_387_330
    with torch.device("meta"):
        paper = DBeta(DBetaConfig.preset("paper"))
    assert sum(p.numel() for p in paper.parameters()) == 321_387_330
