"""Presets, switches, overrides, JSON: what is unknown is refused with the nearest name."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.config import SECTIONS, DBetaConfig, ECGConfig
from dbeta_lib.errors import UsageError
from dbeta_lib.presets import PRESETS, SWITCHES


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json_with_every_set_of_switches(name, switches):
    config = DBetaConfig.preset(name, switches)
    assert config.switches == switches
    assert DBetaConfig.from_json(config.to_json()) == config
    assert DBetaConfig.from_json(config.to_json()).hash() == config.hash()


def test_released_and_paper_differ_in_every_switch_where_the_code_differs_from_the_text():
    released, paper = SWITCHES["released"], SWITCHES["paper"]
    assert set(released) == set(paper)
    different = {name for name in released if released[name] != paper[name]}
    assert different == {
        "text_attention_mask",
        "ets_head",
        "ets_reduction",
        "negatives",
        "n3s_pooling",
        "mlm_masking",
        "mem_layer",
    }


def test_full_size_numbers_are_the_official_ones():
    config = DBetaConfig.preset("paper")
    assert (config.ecg.tokens, config.ecg.patch, config.ecg.kept) == (312, 16, 78)


def test_overrides_reach_their_section_and_change_the_hash():
    plain = DBetaConfig.preset("mini")
    for section, cls in SECTIONS.items():
        for field in dataclasses.fields(cls):
            if isinstance(getattr(getattr(plain, section), field.name), bool):
                value = not plain.get(field.name)
                changed = DBetaConfig.preset("mini", **{field.name: value})
                assert changed.get(field.name) is value
                assert changed.hash() != plain.hash()


def test_field_names_are_unique_over_all_sections():
    names = [f.name for cls in SECTIONS.values() for f in dataclasses.fields(cls)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: DBetaConfig.preset("minni"), "did you mean 'mini'"),
        (lambda: DBetaConfig.preset("mini", "papper"), "did you mean 'paper'"),
        (lambda: DBetaConfig.preset("mini", mask_ration=0.5), "did you mean 'mask_ratio'"),
        (lambda: DBetaConfig.preset("mini", text_pooling="last"), "first, mean"),
        (lambda: DBetaConfig.preset("mini", mask_ratio=1.0), "below 1"),
        (lambda: DBetaConfig.preset("mini", ecg_heads=7), "no multiple"),
        (lambda: DBetaConfig.preset("mini", samples=10), "no ECG token"),
        (lambda: DBetaConfig.preset("mini", mem_layer=4), "mem_layer=4"),
        (lambda: DBetaConfig.preset("paper", samples=50000), "decoder_max_tokens"),
        (lambda: DBetaConfig.preset("mini", mains_hum=0.1), "cannot show a hum of 50 Hz"),
        (lambda: DBetaConfig.preset("mini", muscle_noise=-1.0), "must be 0 or more"),
        (lambda: DBetaConfig.preset("mini", amplitude_scaling=0.5), "must be 1 or more"),
        (lambda: DBetaConfig.preset("mini", lead_subsets=["V9"]), "'V9' is no lead name"),
        (lambda: DBetaConfig.preset("mini", contrast="clip"), "ets, infonce"),
        (lambda: DBetaConfig.from_dict({"egc": {}}), "did you mean 'ecg'"),
        (lambda: DBetaConfig.from_dict({"format_version": 9}), "format 9"),
    ],
)
def test_wrong_use_is_one_sentence_with_the_remedy(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()


@given(st.integers(100, 6000))
def test_tokens_follow_the_convolution_lengths(samples):
    n = samples
    for _ in range(4):
        n = (n - 2) // 2 + 1
    assert ECGConfig().tokens_of(samples) == n
