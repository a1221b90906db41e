"""The tri-stage schedule against its definition, and the optimizer that the settings name."""

import itertools
import math

import pytest
import torch

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.training.schedule import optimizer_and_schedule, tri_stage
from dbeta_lib.training.settings import PretrainConfig, Summary, first_difference


def test_the_three_stages_follow_their_formulas():
    steps, lr = 1000, 5e-5
    factors = [tri_stage(s, steps) for s in range(1200)]
    assert factors[0] == pytest.approx(0.01) and factors[50] == pytest.approx(0.505)
    assert factors[100:501] == [1.0] * 401
    k = -math.log(0.05) / (0.5 * steps)
    for s in (501, 750, 999):
        assert lr * factors[s] == pytest.approx(lr * math.exp(-k * (s - 500)))
    assert factors[1000:] == [pytest.approx(0.05)] * 200
    assert all(a <= b for a, b in itertools.pairwise(factors[:101]))


@pytest.mark.parametrize("stages", [(0, 1, 0), (0, 0, 1), (0.5, 0, 0.5), (1, 0, 0), (0, 0.5, 0)])
def test_a_stage_may_be_empty(stages):
    factors = [tri_stage(s, 10, stages) for s in range(15)]
    assert all(0 < f <= 1 for f in factors)
    if stages[2] == 0:
        assert factors[10:] == [1.0] * 5


def test_the_optimizer_takes_the_schedule_step_by_step():
    parameter = torch.nn.Parameter(torch.ones(3))
    settings = PretrainConfig(steps=20, lr=0.5)
    optimizer, schedule = optimizer_and_schedule([parameter], settings)
    assert type(optimizer) is torch.optim.AdamW  # weight decay apart from the gradient
    group = optimizer.param_groups[0]
    assert group["betas"] == (0.9, 0.98) and group["eps"] == 1e-6 and group["weight_decay"] == 0.01
    for step in range(20):
        assert group["lr"] == pytest.approx(0.5 * tri_stage(step, 20))
        optimizer.step()
        schedule.step()
    plain = PretrainConfig(steps=20, optimizer="adam")
    assert type(optimizer_and_schedule([parameter], plain)[0]) is torch.optim.Adam


def test_the_text_encoder_may_learn_more_slowly_and_follows_the_same_stages():
    one, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    settings = PretrainConfig(steps=20, lr=0.5, text_lr_scale=0.1)
    optimizer, schedule = optimizer_and_schedule([one, other], settings, of_text=[other])
    rest, text = optimizer.param_groups
    assert rest["params"] == [one] and text["params"] == [other]
    for step in range(20):
        assert rest["lr"] == pytest.approx(0.5 * tri_stage(step, 20))
        assert text["lr"] == pytest.approx(rest["lr"] / 10)
        assert rest["weight_decay"] == text["weight_decay"] == 0.01
        optimizer.step()
        schedule.step()
    alike = optimizer_and_schedule([one, other], PretrainConfig(steps=20), of_text=[other])[0]
    assert len(alike.param_groups) == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("text_lr_scale", 0.0, "text_lr_scale=0.0 must be more than 0"),
        ("batchsize", 4, "did you mean 'batch_size'"),
        ("optimizer", "adanw", "did you mean 'adamw'"),
        ("precision", "fp16", "no precision 'fp16'"),
        ("steps", 0, "steps=0 must be more than 0"),
        ("lr", float("nan"), "lr=nan must be"),
        ("stages", [0.5, 0.6, 0.1], "three shares"),
        ("final_scale", 0.0, "final_scale above 0"),
    ],
)
def test_a_wrong_setting_is_named(name, value, words):
    with pytest.raises(UsageError, match=words):
        PretrainConfig.of(**{name: value})


def test_lists_from_yaml_are_the_same_settings():
    assert PretrainConfig.of(stages=[0.1, 0.4, 0.5]) == PretrainConfig()


def test_the_first_difference_is_named_with_both_values():
    before = {"config": {"a": [1, 2], "b": 3}, "settings": {"lr": 0.1}}
    assert (
        first_difference(before, {"config": {"a": (1, 2), "b": 3}, "settings": {"lr": 0.1}}) == ""
    )
    now = {"config": {"a": [1, 2], "b": 4}, "settings": {"lr": 0.1}}
    assert first_difference(before, now) == "config.b was 3 and is 4"
    assert (
        first_difference(before, {"config": before["config"]}) == "settings.lr was 0.1 and is None"
    )


def test_what_only_watches_a_run_is_no_part_of_its_identity():
    identity = PretrainConfig().identity()
    assert PretrainConfig.of(log_every=3, workers=2, eval_every=0).identity() == identity
    for name, value in (("lr", 1.0), ("seed", 1), ("steps", 5), ("clip_norm", 1.0)):
        assert PretrainConfig.of(**{name: value}).identity() != identity


def test_a_damaged_summary_is_named(tmp_path):
    (tmp_path / "summary.json").write_text('{"steps": 3}')
    with pytest.raises(DBetaError, match=r"summary.json is no summary"):
        Summary.open(tmp_path / "summary.json")
