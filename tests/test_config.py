"""Presets, switches, overrides, JSON: what is unknown is refused with the nearest name."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.config import SECTIONS, DBetaConfig, ECGConfig
from dbeta_lib.errors import DBetaError, UsageError
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
        (lambda: DBetaConfig.preset("mini", ecg_layers="two"), "'two' must be a whole number"),
        (lambda: DBetaConfig.preset("mini", mask_ratio="0.5"), "'0.5' must be a number"),
        (lambda: DBetaConfig.preset("mini", mlm_weight=float("nan")), "nan must be a number"),
        (lambda: DBetaConfig.preset("mini", freeze_text=1), "1 must be true or false"),
        (lambda: DBetaConfig.preset("mini", ecg_heads=0), "ecg_heads=0 must be 1 or more"),
        (lambda: DBetaConfig.preset("mini", fusion_layers=-1), "must be 0 or more"),
        (lambda: DBetaConfig.preset("mini", conv_layers=[[64, 7]]), "width, kernel, stride"),
        (lambda: DBetaConfig.preset("mini", conv_layers=7), "must be a list"),
        (lambda: DBetaConfig.preset("mini", lead_subsets=[6]), "give names"),
        (lambda: DBetaConfig.from_json("{"), "JSON is damaged"),
        (lambda: DBetaConfig.from_dict([1]), "a mapping of sections"),
        (lambda: DBetaConfig.from_dict({"ecg": 12}), "section 'ecg'"),
        (lambda: DBetaConfig.from_dict({"switches": []}), "must be a text"),
        (lambda: DBetaConfig.from_dict({"egc": {}}), "did you mean 'ecg'"),
        (lambda: DBetaConfig.from_dict({"format_version": 9}), "format 9"),
    ],
)
def test_wrong_use_is_one_sentence_with_the_remedy(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()


MINI = DBetaConfig.preset("mini").to_dict()
FIELDS = [(section, name) for section in SECTIONS for name in MINI[section]]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(st.sampled_from(FIELDS), VALUES)
def test_any_value_in_any_field_is_taken_as_it_is_or_refused_in_a_sentence(place, value):
    section, name = place
    try:
        config = DBetaConfig.from_dict({**MINI, section: {**MINI[section], name: value}})
    except UsageError:
        return
    assert json.loads(config.to_json())[section][name] == value
    assert DBetaConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("text", ["", "[1]", '{"ecg": 1}', '{"ecg": {"ecg_layers": "two"}}', "\0"])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DBetaError, match=r"config\.json"):
        DBetaConfig.from_json(tmp_path / "config.json")


@given(st.integers(100, 6000))
def test_tokens_follow_the_convolution_lengths(samples):
    n = samples
    for _ in range(4):
        n = (n - 2) // 2 + 1
    assert ECGConfig().tokens_of(samples) == n
