"""The cost model against torch's own count, on the real network, part by part."""

import dataclasses

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dbeta_lib.config import DBetaConfig
from dbeta_lib.costs import (
    CHIPS,
    OPTIMIZER,
    Chip,
    _positions,
    floor,
    hours,
    step_cost,
    total,
)
from dbeta_lib.encoders.ecg import is_cheap_at
from dbeta_lib.errors import UsageError
from dbeta_lib.model import DBeta
from dbeta_lib.training.part_meter import PARTS, PartMeter
from dbeta_lib.training.random_batch import random_batch

SMALL = {
    "samples": 320, "conv_layers": ((16, 2, 2), (24, 3, 2), (24, 2, 2)), "ecg_width": 32,
    "ecg_ffn": 48, "ecg_heads": 2, "ecg_layers": 3, "position_kernel": 5, "position_groups": 1,
    "fusion_width": 40, "fusion_heads": 4, "fusion_layers": 2, "decoder_width": 24,
    "decoder_layers": 1, "decoder_heads": 2, "text_vocabulary": 90,
    "text_architecture": {
        "model_type": "t5", "d_model": 20, "d_kv": 6, "d_ff": 28, "num_layers": 3, "num_heads": 2,
        "feed_forward_proj": "relu", "pad_token_id": 0, "eos_token_id": 1,
    },
}  # fmt: skip
CASES = {
    "mini": {}, "small": SMALL, "released": {"switches": "released"},
    "recommended": {"switches": "recommended", **SMALL}, "whole view": {"ets_view": "full"},
    "frozen text": {"freeze_text": True, **SMALL},
}  # fmt: skip
RECORDS, LENGTH, WORDS = 4, 11, 9


def made(overrides):
    return DBetaConfig.preset("mini", **overrides)


@pytest.fixture(scope="module", params=CASES)
def counted(request):
    """The config, the model, and torch's operations by part and direction."""
    config = made(CASES[request.param])
    model = DBeta(config).train()
    # The fused kernels of a CPU are not among those that torch counts.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        meter = PartMeter(model, counter.get_total_flops)
        with meter:
            meter.backward(model(random_batch(config, RECORDS, LENGTH, WORDS)).losses["total"])
    return config, model, meter.read()


def test_every_part_has_the_operations_that_torch_counts(counted):
    config, _, taken = counted
    ecg = config.ecg
    few = is_cheap_at(RECORDS, ecg.kept, ecg.tokens, ecg.position_kernel, ecg.ecg_width)
    for part in step_cost(config, RECORDS, LENGTH, WORDS, kept_positions=few)[:-1]:
        assert taken.get((part.name, "forward"), 0) == part.forward_flops, part.name
        # torch takes the gradient of a grouped convolution's weight for that of an ungrouped one
        whole = _positions(ecg, RECORDS, False).forward_flops
        ungrouped = whole * (config.objective.ets_view == "full" if few else 1)
        extra = (ecg.position_groups - 1) * ungrouped if part.name == "positions" else 0
        assert taken.get((part.name, "backward"), 0) - extra == part.backward_flops, part.name


def test_every_part_has_the_parameters_of_its_modules(counted):
    config, model, _ = counted
    own = {name: part for name, part in PARTS.items() if hasattr(model, name.split(".")[0])}
    expected = dict.fromkeys([*own.values(), "ETM, ETS, losses"], 0)
    for name, parameter in model.named_parameters():
        matching = [n for n in own if name.startswith(f"{n}.")]
        part = own[max(matching, key=len)] if matching else "ETM, ETS, losses"
        expected[part] += parameter.numel()
    parts = step_cost(config, RECORDS, LENGTH)
    assert {p.name: p.parameters for p in parts if p.name != OPTIMIZER} == expected


def test_the_full_size_has_as_many_parameters_as_the_paper_says():
    parts = step_cost(DBetaConfig.preset("paper"), 128, 64)
    assert round(total(parts).parameters / 1e6, 2) == 321.39


def test_work_grows_with_the_batch_and_traffic_with_the_precision():
    config = made(SMALL)
    one, two = (total(step_cost(config, n, LENGTH, n * 3)) for n in (8, 16))
    ets = {n: 6 * n * n * config.fusion.fusion_width for n in (8, 16)}
    assert (two.flops - ets[16]) == 2 * (one.flops - ets[8])
    wide = {p.name: p for p in step_cost(config, 8, LENGTH, element_bytes=4)}
    for part in step_cost(config, 8, LENGTH, element_bytes=2):
        assert wide[part.name].forward_bytes == (
            part.forward_bytes if part.name == OPTIMIZER else 2 * part.forward_bytes
        )


def test_fewer_visible_tokens_are_less_work_in_the_encoder_alone():
    few, many = (
        {p.name: p.flops for p in step_cost(made({"mask_ratio": ratio}), 4, LENGTH)}
        for ratio in (0.75, 0.5)
    )
    assert few["ECG encoder"] < many["ECG encoder"] and few["fusion"] < many["fusion"]
    assert few["stem"] == many["stem"] and few["text encoder"] == many["text encoder"]


def test_adam_moves_seven_numbers_of_each_trained_parameter():
    for overrides in (SMALL, {**SMALL, "freeze_text": True}):
        config = made(overrides)
        model = DBeta(config)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert step_cost(config, 4, LENGTH)[-1].forward_bytes == 7 * 4 * trained


def test_the_floor_is_the_slower_of_arithmetic_and_traffic():
    parts = step_cost(made(SMALL), 4, LENGTH)
    every = total(parts)
    assert floor(parts, Chip("thinks slowly", 1.0, 1e30)) == pytest.approx(every.flops)
    assert floor(parts, Chip("moves slowly", 1e30, 1.0)) == pytest.approx(every.bytes)
    assert floor(parts, CHIPS[1]) <= floor(parts, CHIPS[0])  # more bandwidth
    assert hours(parts, every.flops, 0.5, 3600) == pytest.approx(2)


def test_another_text_encoder_is_refused_with_a_sentence():
    config = dataclasses.replace(made(SMALL)).replace(text_architecture={"model_type": "bert"})
    with pytest.raises(UsageError, match="known for T5 architectures; this config names 'bert'"):
        step_cost(config, 4, LENGTH)
    with pytest.raises(UsageError, match="a batch of 0 records"):
        step_cost(made(SMALL), 0, LENGTH)
