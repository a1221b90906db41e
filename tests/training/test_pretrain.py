"""Pre-training: it learns, resumes bit by bit, stops with a sentence, and refuses another run."""

import json
import os
import pickle
import shutil
import signal
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from dbeta_lib.errors import AnotherRun, DBetaError, Stopped, UsageError
from dbeta_lib.model import DBeta
from dbeta_lib.training import checkpoints, loop, pretrain
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.curves import Curves
from dbeta_lib.training.start import build_model, negatives_for

RUN = {
    "steps": 18, "batch_size": 8, "lr": 1e-3, "seed": 5, "log_every": 4, "eval_every": 6,
    "eval_records": 8, "checkpoint_every": 5, "tensorboard": False, "progress": False,
    "say": lambda sentence: None,
}  # fmt: skip


@pytest.fixture(scope="module")
def begin(store, tokenizer, config, table):
    """`begin(folder, **changes)` -> Summary; `model` and `config` may be given."""

    def begin(folder, model=None, overrides=None, **changes):
        model = model or build_model(config(**(overrides or {})), store, 1, tokenizer)
        return pretrain.pretrain(model, store, folder, **{"negatives": table, **RUN, **changes})

    return begin


@pytest.fixture(scope="module")
def whole(begin, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, begin(folder)


def same_run(a, b):
    """Same curves, weights and optimizer, byte by byte."""
    files = ("curves.csv", "model/model.safetensors", "checkpoints/step-00000018/model.safetensors")
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in files)


def interrupt(monkeypatch, at, error=KeyboardInterrupt):
    """Raise in the middle of step `at` (from 1)."""
    original = loop.Loop._one_step

    def one_step(run, batch):
        if run.step + 1 == at:
            raise error
        original(run, batch)

    monkeypatch.setattr(loop.Loop, "_one_step", one_step)


def test_a_run_leaves_a_model_curves_and_a_summary(whole, store, config):
    folder, summary = whole
    assert summary.steps == 18 and summary.records == 144 and summary.left_out == 3
    assert summary.device == "cpu" and summary.precision == "fp32"
    model = DBeta.from_pretrained(folder / "model")
    assert model.config == config() and not model.training
    assert model.encode_text(["sinus rhythm."]).isfinite().all()
    lines = (folder / "curves.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == [0, 4, 6, 8, 12, 16, 18]
    assert summary.validation["val_total"] < summary.untrained["val_total"]
    kept = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert kept == ["step-00000015", "step-00000018"]
    assert DBeta.from_pretrained(folder / "checkpoints" / kept[0]).config == config()


def test_the_loss_falls_on_a_few_samples(begin, tmp_path, store):
    few = store.rows("train")[:10]
    overrides = {"lead_dropout": 0.0, "ecg_dropout": 0.0, "input_dropout": 0.0}
    summary = begin(tmp_path, overrides=overrides, rows=few, steps=80, lr=1e-2, eval_every=0)
    first = float((tmp_path / "curves.csv").read_text().splitlines()[1].split(",")[6])
    assert summary.losses["total"] < 0.5 * first


@pytest.mark.parametrize("at", [6, 13, 18])
def test_a_resumed_run_is_the_uninterrupted_run_bit_by_bit(
    whole, begin, tmp_path, monkeypatch, store, tokenizer, config, at
):
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path)
    torch.manual_seed(99)  # the state of torch does not matter
    other = build_model(config(), store, 1, tokenizer)
    said = []
    summary = begin(tmp_path, model=other, resume=True, say=said.append)
    assert f"resumed after step {(at - 1) // 5 * 5} of 18" in " ".join(said)
    assert same_run(tmp_path, whole[0])
    assert summary.losses == whole[1].losses and summary.validation == whole[1].validation
    assert summary.untrained == whole[1].untrained
    for name, value in load_file(whole[0] / "model" / "model.safetensors").items():
        assert torch.equal(other.state_dict()[name], value)


@pytest.mark.parametrize("at", [3, 13])
def test_a_model_that_an_interrupted_run_has_changed_is_gone_on_with(
    whole, begin, tmp_path, monkeypatch, store, tokenizer, config, at
):
    model, said = build_model(config(), store, 1, tokenizer), []
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, model=model)
    first = begin(tmp_path, model=model, resume=True, say=said.append)
    # Before the first checkpoint there is nothing to go back to, which is said and kept.
    assert same_run(tmp_path, whole[0]) == (at == 13)
    assert any("begins with its weights as they are" in s for s in said) == (at == 3)
    assert (first.identity == whole[1].identity) == (at == 13)
    assert begin(tmp_path, model=model, resume=True) == first  # trained in place and given again


def test_other_code_or_other_weights_make_another_run(
    begin, tmp_path, monkeypatch, store, tokenizer, config
):
    begin(tmp_path, steps=2)
    other = build_model(config(), store, 2, tokenizer)
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "code_hash", lambda: "edited")
        for options, name in (({}, "library_code"), ({"model": other}, "weights_before")):
            for resume in (False, True):
                with pytest.raises(AnotherRun, match=rf"{name} was \w+ and is \w+"):
                    begin(tmp_path, steps=2, resume=resume, **options)
            patch.undo()


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_of_a_library_that_noted_neither_code_nor_weights_is_another_run(
    begin, tmp_path, monkeypatch, finished
):
    with monkeypatch.context() as patch:
        interrupt(patch, 99 if finished else 7)
        with nullcontext() if finished else pytest.raises(KeyboardInterrupt):
            begin(tmp_path)
    path = tmp_path / ("summary.json" if finished else "checkpoints/step-00000005/run.json")
    noted = json.loads(path.read_text())
    del noted["identity"]["library_code"], noted["identity"]["weights_before"]
    path.write_text(json.dumps(noted))
    with pytest.raises(AnotherRun, match="library_code was None"):
        begin(tmp_path, resume=True)
    assert begin(tmp_path, fresh=True).steps == 18


@pytest.mark.parametrize("log_every", [2, 4, 9])
def test_a_run_may_be_resumed_with_another_distance_of_rows(
    whole, begin, tmp_path, monkeypatch, log_every
):
    with monkeypatch.context() as patch:
        interrupt(patch, 12)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, log_every=7)  # three steps are in no row when step 10 is kept
    begin(tmp_path, log_every=log_every, resume=True)
    model = "model/model.safetensors"
    assert (tmp_path / model).read_bytes() == (whole[0] / model).read_bytes()
    steps = [int(line.split(",")[0]) for line in (tmp_path / "curves.csv").open().readlines()[1:]]
    due = {step for step in range(11, 19) if step % log_every == 0 or step in (12, 18)}
    assert steps == [0, 6, 7, *sorted(due)]


@pytest.mark.parametrize(
    "others", [{}, {"accumulate": 2}, {"pack_texts": True, "quick_dropout": True}]
)
def test_parts_and_recomputed_layers_are_resumed_like_any_other(
    whole, begin, tmp_path, monkeypatch, others
):
    changes = {**others, "checkpoint_activations": True}
    begin(tmp_path / "whole", **changes)
    with monkeypatch.context() as patch:
        interrupt(patch, 13)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path / "cut", **changes)
    begin(tmp_path / "cut", resume=True, **{**changes, "checkpoint_activations": False})
    assert same_run(tmp_path / "whole", tmp_path / "cut")
    assert same_run(tmp_path / "whole", whole[0]) == (not others)


def test_workers_do_not_change_a_run(whole, begin, tmp_path):
    begin(tmp_path, workers=2)
    assert same_run(tmp_path, whole[0])


def test_another_seed_is_another_run(whole, begin, tmp_path, monkeypatch):
    interrupt(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, seed=6)
    first = [(f / "curves.csv").read_text().splitlines()[2] for f in (tmp_path, whole[0])]
    assert first[0].startswith("4,") and first[0] != first[1]


def test_a_finished_run_is_not_trained_again_unless_fresh(begin, tmp_path, monkeypatch, store):
    first = begin(tmp_path, steps=3)
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        said = []
        for resume in (False, True):
            assert begin(tmp_path, steps=3, resume=resume, say=said.append) == first
        assert all("not trained again" in sentence for sentence in said)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, steps=3, fresh=True)
    assert not (tmp_path / "summary.json").exists()
    begin(tmp_path, steps=3, resume=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights


def files_of(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_finished_run_is_not_removed_unless_fresh(begin, tmp_path):
    begin(tmp_path, steps=2)
    before = files_of(tmp_path)
    with pytest.raises(AnotherRun, match=r"finished run whose settings.steps was 2.*fresh"):
        begin(tmp_path, steps=3)
    assert files_of(tmp_path) == before
    assert begin(tmp_path, steps=3, fresh=True).steps == 3


def test_an_unfinished_run_is_not_removed_unless_fresh(whole, begin, tmp_path, monkeypatch):
    for at, words in ((3, "stopped before its first"), (7, r"unfinished run \(step-00000005\) of")):
        with monkeypatch.context() as patch:
            interrupt(patch, at)
            with pytest.raises(KeyboardInterrupt):
                begin(tmp_path, resume=True)
        before = files_of(tmp_path)
        with pytest.raises(DBetaError, match=words + r".*\(resume\).*\(fresh\)"):
            begin(tmp_path)
        assert files_of(tmp_path) == before
    begin(tmp_path, resume=True)
    assert same_run(tmp_path, whole[0])


@pytest.mark.parametrize("name", ["model/model.safetensors", "checkpoints/a", "summary.json"])
@pytest.mark.parametrize("flag", ["none", "resume", "fresh"])
def test_what_no_run_left_is_never_removed(begin, tmp_path, name, flag):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    before = files_of(tmp_path)
    with pytest.raises(DBetaError, match=rf"holds {name.split('/')[0]}, which no run.*remove them"):
        begin(tmp_path, **({} if flag == "none" else {flag: True}))
    assert files_of(tmp_path) == before


def test_sigterm_leaves_a_checkpoint_and_exit_code_75(whole, begin, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    original = Curves.add

    def add(curves, step, values):
        original(curves, step, values)
        if step == 6:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Curves, "add", add)
        with pytest.raises(Stopped, match=r"after step 6; .*step-00000006") as stopped:
            begin(tmp_path)
    assert stopped.value.exit_code == 75 and signal.getsignal(signal.SIGTERM) is before
    begin(tmp_path, resume=True)
    assert same_run(tmp_path, whole[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 2e-3}, r"settings.lr was 0.001 and is 0.002"),
        ({"seed": 6}, r"settings.seed was 5 and is 6"),
        ({"steps": 20}, r"settings.steps was 18 and is 20"),
        ({"overrides": {"mask_ratio": 0.5}}, r"config.ecg.mask_ratio was 0.75 and is 0.5"),
        ({"overrides": {"mlm_weight": 0.5}}, r"config.objective.mlm_weight was 1.0 and is 0.5"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_the_field_that_differs(
    whole, begin, changes, words
):
    with pytest.raises(DBetaError, match=words):
        begin(whole[0], resume=True, **changes)


def test_a_finished_run_is_not_overwritten_by_resuming_another(begin, tmp_path):
    begin(tmp_path, steps=2)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(DBetaError, match=r"summary.json is of another run: settings.lr"):
        begin(tmp_path, steps=2, resume=True, lr=0.5)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_another_store_or_other_rows_are_refused(whole, begin, store):
    with pytest.raises(DBetaError, match="rows was"):
        begin(whole[0], resume=True, rows=store.rows("train")[4:])


def test_a_loss_that_is_not_finite_stops_with_step_records_and_checkpoint(
    begin, tmp_path, monkeypatch, store
):
    original = loop.Objective.forward
    seen = []

    def forward(objective, batch, mem_alone=False):
        loss, numbers = original(objective, batch, mem_alone)
        seen.append(batch)
        bad = torch.where(torch.arange(6) == 1, torch.nan, numbers)
        return (loss, bad) if len(seen) == 7 else (loss, numbers)

    monkeypatch.setattr(loop.Objective, "forward", forward)
    with pytest.raises(DBetaError, match=r"step 7: the loss is no longer finite.*mem nan") as error:
        begin(tmp_path)
    message = str(error.value)
    assert "step-00000005" in message and len(seen) == 8  # noticed when the next row is written
    named = message.split("held the records ")[1].split(";")[0].split(", ")
    rows = store.records.set_index("record_id").loc[named]
    assert rows["report_id"].tolist() == seen[6].report_id.tolist()


def test_what_a_launcher_hands_on_of_precision_and_parts_changes_nothing(
    begin, whole, tmp_path, monkeypatch
):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "EAGER")
    AcceleratorState._reset_state(reset_partial_state=True)  # as in a process that begins
    begin(tmp_path)
    assert same_run(whole[0], tmp_path)


def test_an_exploding_loss_stops_the_run(begin, tmp_path):
    with pytest.raises(DBetaError, match=r"the loss (is over 3 times|is no longer finite)"):
        begin(tmp_path, lr=50.0, explode=3.0)
    assert not (tmp_path / "summary.json").exists()


def test_weights_that_are_not_finite_are_never_kept_as_a_checkpoint(begin, tmp_path, monkeypatch):
    original = loop.Loop._one_step

    def one_step(run, batch):
        original(run, batch)
        if run.step == 10:
            with torch.no_grad():
                run.parameters[0].fill_(torch.nan)

    monkeypatch.setattr(loop.Loop, "_one_step", one_step)
    with pytest.raises(DBetaError, match=r"step 10: .*weights after it are not.*step-00000005"):
        begin(tmp_path, eval_every=0)


@pytest.mark.parametrize("written", ["torch", "zip", "safetensors", "json"])
def test_a_full_disk_at_a_checkpoint_keeps_the_one_before(
    whole, begin, tmp_path, monkeypatch, written
):
    full = OSError(28, "No space left on device")
    # What torch's writer says on a full disk; only the disk then tells why.
    unclear = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 2 vs 1")
    no_space = SimpleNamespace(free=0)

    def refuse(*args, **options):
        raise unclear if written == "zip" else full

    class Refusing(checkpoints.Checkpoints):
        def save(self, step, *parts):
            with monkeypatch.context() as patch:
                if step == 10 and written in ("torch", "zip"):
                    patch.setattr(checkpoints.torch, "save", refuse)
                if step == 10 and written == "zip":
                    patch.setattr(checkpoints.shutil, "disk_usage", lambda path: no_space)
                if step == 10 and written == "safetensors":
                    patch.setattr("dbeta_lib.checkpoint_files.save_model", refuse)
                if step == 10 and written == "json":
                    patch.setattr(checkpoints, "write_json", refuse)
                return super().save(step, *parts)

    with monkeypatch.context() as patch:
        patch.setattr("dbeta_lib.training.run_folder.Checkpoints", Refusing)
        with pytest.raises(DBetaError, match=r"disk is full.*step-00000010.*step-00000005 stays"):
            begin(tmp_path)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]
    if written == "torch":
        begin(tmp_path, resume=True)
        assert same_run(tmp_path, whole[0])


def no_memory(run, batch):
    return torch.empty(2**60)


def no_gpu_memory(run, batch):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")


def no_numpy_memory(run, batch):
    return np.empty(2**50)


@pytest.mark.parametrize("fails", [no_memory, no_gpu_memory, no_numpy_memory])
def test_out_of_memory_names_what_to_lower(begin, tmp_path, monkeypatch, fails):
    original = loop.Loop._one_step
    one_step = lambda run, batch: original(run, batch) if run.step < 6 else fails(run, batch)  # noqa: E731
    monkeypatch.setattr(loop.Loop, "_one_step", one_step)
    words = r"step 7: out of memory on cpu with batch_size=8, 4 records at once; lower batch_size"
    with pytest.raises(DBetaError, match=words + r".*accumulate \(now 2\).*step-00000005\)"):
        begin(tmp_path, accumulate=2)


def test_any_other_error_stays_as_it_is(begin, tmp_path, monkeypatch):
    interrupt(monkeypatch, 3, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        begin(tmp_path)


def test_a_worker_that_is_killed_is_named(begin, tmp_path, monkeypatch):
    original = BatchMaker.__getitem__

    def batch(maker, step):
        if step == 8 and torch.utils.data.get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return original(maker, step)

    with monkeypatch.context() as patch:
        patch.setattr(BatchMaker, "__getitem__", batch)
        with pytest.raises(DBetaError, match=r"makes batches was lost \(DataL.*lower workers"):
            begin(tmp_path, workers=1)
    assert begin(tmp_path, resume=True).steps == 18


class Evil:
    def __reduce__(self):
        return (open, ("opened-by-pickle", "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_is_no_state_is_not_opened(begin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interrupted = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            begin(interrupted)
    file = interrupted / "checkpoints" / "step-00000005" / "training.pt"
    for bad in (pickle.dumps(Evil()), file.read_bytes()[:1000], b""):
        file.write_bytes(bad)
        with pytest.raises(DBetaError, match=r"training.pt holds no training state.*delete"):
            begin(interrupted, resume=True)
    torch.save({"optimizer": {}}, file)
    with pytest.raises(DBetaError, match=r"training.pt holds no training state"):
        begin(interrupted, resume=True)
    assert not (tmp_path / "opened-by-pickle").exists()
    weights = file.with_name("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(DBetaError, match=r"model.safetensors is damaged or of another model"):
        begin(interrupted, resume=True)


def test_mem_may_be_trained_alone_at_first(begin, tmp_path, store, tokenizer, config):
    def words_after(steps, mem_first):
        model = build_model(config(mem_layer=0), store, 1, tokenizer)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        begin(tmp_path / f"{steps}-{mem_first}", model, steps=steps, mem_first=mem_first)
        changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        return changed, {k for k in changed if k.startswith("text_encoder")}

    alone, words = words_after(4, mem_first=4)
    assert not words and any(name.startswith("mem_head") for name in alone)
    assert any(name.startswith("ecg_encoder") for name in alone)
    assert words_after(5, mem_first=4)[1]


def test_curves_of_steps_of_mem_alone_hold_what_was_computed(begin, tmp_path):
    begin(tmp_path, mem_first=7, log_every=5, overrides={"mem_layer": 0})
    rows = pd.read_csv(tmp_path / "curves.csv").set_index("step").loc[[5, 10, 15]]
    assert rows["mem"].notna().all() and rows["grad_norm"].notna().all()
    mem_alone = load_file(tmp_path / "mem-alone" / "model.safetensors")
    later = load_file(tmp_path / "model" / "model.safetensors")
    drawn = {name.split(".")[0] for name in later if not torch.equal(later[name], mem_alone[name])}
    assert {"ecg_encoder", "text_encoder", "etm_head"} <= drawn
    assert rows["total"].notna().tolist() == rows["etm_accuracy"].notna().tolist()
    assert rows["total"].notna().tolist() == [False, True, True]
    ln_v = rows.loc[10, "mlm"]  # of steps 8 to 10: zeros of steps 6 and 7 are not averaged in
    assert abs(ln_v - rows.loc[15, "mlm"]) < 0.2 * ln_v


def test_an_exploding_mem_alone_stops_the_run(begin, tmp_path):
    with pytest.raises(DBetaError, match=r"the loss (is over 3 times|is no longer finite).*mem"):
        begin(tmp_path, lr=50.0, explode=3.0, mem_first=18)


def test_steps_of_mem_alone_are_resumed_like_any_other(begin, tmp_path, monkeypatch):
    begin(tmp_path / "whole", mem_first=11)
    for at in (8, 14):
        with monkeypatch.context() as patch:
            interrupt(patch, at)
            with pytest.raises(KeyboardInterrupt):
                begin(tmp_path / "cut", mem_first=11, resume=True)
    begin(tmp_path / "cut", mem_first=11, resume=True)
    assert same_run(tmp_path / "whole", tmp_path / "cut")


def test_wrong_settings_are_named(begin, tmp_path):
    with pytest.raises(UsageError, match=r"mem_first=19 must be in 0\.\.steps"):
        begin(tmp_path, mem_first=19)
    with pytest.raises(UsageError, match="mem_weight is 0"):
        begin(tmp_path, mem_first=1, overrides={"mem_weight": 0.0})
    with pytest.raises(UsageError, match="did you mean 'batch_size'"):
        begin(tmp_path, batchsize=3)
    with pytest.raises(UsageError, match="160 samples at 100 Hz"):
        begin(tmp_path, overrides={"samples": 320})


def test_a_batch_that_does_not_divide_is_refused(begin, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="batch_size=8 is no multiple of accumulate=3"):
        begin(tmp_path, accumulate=3)
    monkeypatch.setattr(pretrain.Accelerator, "num_processes", 3)
    with pytest.raises(UsageError, match=r"no multiple of 3 process\(es\) times accumulate=4"):
        begin(tmp_path, accumulate=4)
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_validation_records_is_trained_on_and_said(begin, tmp_path, store):
    said = []
    rows = store.rows
    try:
        store.rows = lambda split: rows(split)[:0] if split == "val" else rows(split)
        summary = begin(tmp_path, steps=4, say=said.append)
    finally:
        del store.rows
    assert summary.validation == {} and any("no validation" in s for s in said)


def test_the_config_names_the_negatives(store, config, tmp_path):
    said = []
    path = tmp_path / "negatives.npz"
    for name in ("n3s", "released"):
        table = negatives_for(config(negatives=name), store, path=path, say=said.append)
        assert table.describe()["kind"] == "n3s"
    assert "built" in said[0] and "reused" in said[1]
    assert negatives_for(config(negatives="random"), store).describe()["kind"] == "random"
