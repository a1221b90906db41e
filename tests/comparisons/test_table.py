"""Every comparison model: in the table, trained by D-BETA's loop, taken by every evaluation."""

import dataclasses
import importlib
import inspect
import pkgutil

import pandas as pd
import pytest
import torch

from dbeta_lib import comparisons
from dbeta_lib.comparisons import COMPARISONS, MODELS, open_model
from dbeta_lib.comparisons.base import Comparison
from dbeta_lib.comparisons.monitor import LossMonitor
from dbeta_lib.errors import AnotherRun, DBetaError, UsageError
from dbeta_lib.evaluation.classifier import Classifier
from dbeta_lib.evaluation.encoders import Encoder, check_encoder
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.finetune import FinetuneConfig
from dbeta_lib.evaluation.probe import linear_probe
from dbeta_lib.evaluation.zero_shot import zero_shot
from dbeta_lib.leads import subset_mask
from dbeta_lib.model import DBeta
from dbeta_lib.training import loop, pretrain
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.start import build_model, negatives_for

SMALL = {"merl": {"width": 4}, "w2v-cmsc-rlm": {"entries": 8, "code_width": 16, "span": 0.2}}
RUN = {
    "steps": 3, "batch_size": 8, "lr": 1e-3, "seed": 5, "log_every": 1, "eval_every": 2,
    "eval_records": 8, "checkpoint_every": 1, "tensorboard": False, "progress": False,
    "say": lambda sentence: None,
}  # fmt: skip
WITH_TEXT = ("merl", "clip")


@pytest.fixture(scope="module")
def make(store, tokenizer, config):
    """`make(name, seed, **overrides)` -> a tiny comparison model."""

    def make(name, seed=1, **overrides):
        def build(given, tokenizer):
            return COMPARISONS[name](given, tokenizer, **SMALL.get(name, {}))

        return build_model(config(**overrides), store, seed, tokenizer, build)

    return make


@pytest.fixture(scope="module", params=sorted(COMPARISONS))
def trained(request, make, store, tmp_path_factory):
    """Name, model, folder and summary of a run of three steps."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    model = make(request.param)
    return request.param, model, folder, pretrain.pretrain(model, store, folder, **RUN)


def test_every_model_of_the_folder_is_in_the_table():
    found = set()
    for module in pkgutil.iter_modules(comparisons.__path__, comparisons.__name__ + "."):
        for cls in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(cls) and issubclass(cls, Comparison) and cls.name:
                found.add(cls)
    assert found == set(MODELS.values()) and len(found) == 4
    assert set(COMPARISONS) == {*MODELS, "mem-only"}


def test_the_loop_leaves_curves_a_model_and_the_same_features_when_opened(trained, store):
    name, model, folder, summary = trained
    assert summary.steps == 3 and summary.validation
    curves = pd.read_csv(folder / "curves.csv").set_index("step")
    names = getattr(model, "loss_names", ("mlm", "mem", "etm", "ets", "total"))
    for column in [*names, *(f"val_{n}" for n in names)]:
        assert curves[column].notna().any(), column
    assert "etm" in curves or name != "mem-only"
    again = open_model(folder / "model")
    assert type(again) is type(model) and again.config == model.config and not again.training
    rows = store.rows("test")
    before, after = (extract(m, store, rows, progress=False) for m in (model, again))
    assert (before == after).all() and before.std() > 0
    kept = open_model(folder / "checkpoints" / "step-00000003")
    assert (extract(kept, store, rows, progress=False) == before).all()


def test_the_same_model_learns_from_the_records_that_d_beta_would(trained, store, config):
    _, model, _, summary = trained
    same = {"batch_size": 8, "seed": 5}
    makers = [
        BatchMaker(store, store.rows("train"), model.tokenizer, c, negatives_for(c, store), **same)
        for c in (model.config, config(negatives="random"))
    ]
    for step in range(3):
        assert makers[0].record_ids(step) == makers[1].record_ids(step)
    if isinstance(model, Comparison):
        batch = makers[0][0]
        assert torch.equal(batch.text_report_id, batch.report_id) and batch.is_aligned.all()
        assert (batch.input_ids.sum(1) > 0).all() and summary.left_out == 0


@pytest.mark.parametrize("at", [2, 3])
def test_a_resumed_run_is_the_uninterrupted_run(trained, make, store, tmp_path, monkeypatch, at):
    name, _, folder, _ = trained
    original = loop.Loop._one_step

    def one_step(run, batch):
        if run.step + 1 == at:
            raise KeyboardInterrupt
        original(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_one_step", one_step)
        with pytest.raises(KeyboardInterrupt):
            pretrain.pretrain(make(name), store, tmp_path, **RUN)
    said = []
    torch.manual_seed(99)
    pretrain.pretrain(make(name), store, tmp_path, **{**RUN, "say": said.append}, resume=True)
    assert f"resumed after step {at - 1} of 3" in " ".join(said)
    for file in ("curves.csv", "model/model.safetensors"):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def test_the_probe_and_lead_subsets_take_it(trained, store):
    _, model, _, _ = trained
    check_encoder(model)
    assert isinstance(model, Encoder)
    encoders = [model, model.without_head()] if isinstance(model, Comparison) else [model]
    for encoder in encoders:
        whole = extract(encoder, store, progress=False)
        single = extract(encoder, store, lead_mask=subset_mask("1"), progress=False)
        assert whole.shape == single.shape and (whole != single).any()
        found = linear_probe(
            whole, store.labels("shape"), store.records["split"], [1.0], [0],
            patients=store.records["patient_id"], resamples=20, progress=False,
        )  # fmt: skip
        assert 0 <= found[0].macro.value <= 1


def test_zero_shot_takes_those_with_text(trained, store, prompts):
    name, model, _, _ = trained
    if name not in WITH_TEXT:
        assert name == "mem-only" or not hasattr(model, "encode_text")
        return
    found = zero_shot(model, store, "shape", prompts, resamples=20, progress=False)
    assert found.scores.std() > 0 and 0 <= found.macro.value <= 1
    texts = list(prompts.values())
    apart = torch.cat([model.encode_text([text]) for text in texts])
    torch.testing.assert_close(model.encode_text(texts), apart)  # padding changes nothing
    assert model.encode_text(texts).shape == (2, model.config.fusion.fusion_width)


def test_fine_tuning_gets_gradients_through_the_whole_path(trained, store):
    _, model, _, _ = trained
    ecg, mask = torch.from_numpy(store.ecg([0, 1])), torch.from_numpy(store.lead_mask()[:2])
    whole = Classifier.build(model, [(ecg, mask)], 2, FinetuneConfig())
    whole(ecg, mask).sum().backward()
    assert sum(p.grad is not None and bool(p.grad.any()) for p in whole.parameters()) > 5


@pytest.mark.parametrize("name", MODELS)
def test_the_loss_falls_on_a_few_records(make, store, tmp_path, name):
    few = store.rows("train")[:8]
    changes = {"steps": 40, "lr": 3e-3, "eval_every": 0, "checkpoint_every": 0}
    model = make(name, norm_first=True, ecg_pooling="mean", ecg_dropout=0.0, input_dropout=0.0)
    pretrain.pretrain(model, store, tmp_path, rows=few, **{**RUN, **changes})
    total = pd.read_csv(tmp_path / "curves.csv")["total"]
    assert total[-5:].mean() < 0.9 * total[:3].mean()


def test_its_config_settings_and_code_are_part_of_the_runs_identity(make, store, tmp_path, config):
    model = make("clip")
    summary = pretrain.pretrain(model, store, tmp_path, **RUN)
    assert summary.identity["config"]["name"] == "clip"
    assert summary.identity["config"]["settings"] == {"temperature": 0.07}
    other = build_model(
        config(), store, 1, model.tokenizer,
        lambda c, t: COMPARISONS["clip"](c, t, temperature=0.5),
    )  # fmt: skip
    with pytest.raises(AnotherRun, match=r"config.settings.temperature was 0.07 and is 0.5"):
        pretrain.pretrain(other, store, tmp_path, **RUN)
    plain = build_model(config(), store, 1, model.tokenizer)
    assert pretrain._code_of(model) != pretrain._code_of(plain) == pretrain.code_hash()


def test_several_processes_and_steps_of_mem_alone_are_refused(make, store, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="mem_first"):
        pretrain.pretrain(make("simclr"), store, tmp_path, **RUN, mem_first=1)
    monkeypatch.setattr(pretrain.Accelerator, "num_processes", 2)
    for name, model in MODELS.items():  # those that gather are compared in tests/training
        if not model.gathers:
            with pytest.raises(UsageError, match=r"cannot be trained by 2 proc.*start one process"):
                pretrain.pretrain(make(name), store, tmp_path, **RUN)
    assert [name for name, model in MODELS.items() if model.gathers] == ["clip", "simclr"]


def test_validation_leaves_mode_weights_and_random_state_alone(make, store, tokenizer):
    for name in MODELS:
        model = make(name).train()
        monitor = LossMonitor(model.config, store, tokenizer, store.rows("val"), batch_size=4)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        state = torch.get_rng_state()
        found = monitor.measure(model)
        assert tuple(found) == tuple(f"val_{n}" for n in model.loss_names)
        assert model.training and torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
        assert found == monitor.measure(model)
    with pytest.raises(DBetaError, match="1 validation record"):
        LossMonitor(model.config, store, tokenizer, store.rows("val")[:1])


def test_what_does_not_fit_is_refused_in_a_sentence(trained, config, tokenizer, tmp_path):
    name, model, folder, _ = trained
    with pytest.raises(DBetaError, match="holds no model"):
        open_model(tmp_path)
    with pytest.raises(UsageError, match="ECG of shape"):
        model.encode_ecg(torch.zeros(2, 12, 7))
    if name == "mem-only":
        return
    with pytest.raises(UsageError, match="has no setting 'temprature'"):
        COMPARISONS[name](config(), tokenizer, temprature=1)
    other = next(m for m in MODELS.values() if m is not type(model))
    with pytest.raises(DBetaError, match=f"holds a {name}, no {other.name}"):
        other.from_pretrained(folder / "model")
    with pytest.raises(UsageError, match="no section"):
        DBeta.from_pretrained(folder / "model")
    settings = dataclasses.asdict(model.settings)
    assert model.config.settings == settings and model.config.name == name
