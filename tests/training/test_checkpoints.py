"""Checkpoints: every random state, the last ones kept, unfinished folders never taken for whole."""

import errno
import random

import numpy as np
import pytest
import torch

from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation import encoders
from dbeta_lib.files import atomic_write
from dbeta_lib.training.checkpoints import (
    Checkpoints,
    load_training,
    random_states,
    read_run,
    save_model_folder,
    set_random_states,
    weights_hash,
)
from dbeta_lib.training.schedule import optimizer_and_schedule
from dbeta_lib.training.settings import PretrainConfig


class Saved:
    """Stands in for a model."""

    def save_pretrained(self, folder):
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_bytes(b"weights")


def draw():
    return torch.rand(3).tolist(), random.random(), np.random.rand(3).tolist()


def test_every_random_state_comes_back(tmp_path):
    np.random.normal()  # leaves a spare normal number in numpy's state
    saved = Checkpoints(tmp_path).save(3, Saved(), {}, {})
    first, normal = draw(), np.random.normal()
    draw()
    found = torch.load(saved / "training.pt", weights_only=True)
    set_random_states(found["random"])
    assert (draw(), np.random.normal()) == (first, normal)


def test_the_last_ones_are_kept_and_unfinished_ones_are_not_seen(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    assert checkpoints.latest() is None and checkpoints.all() == []
    for step in (5, 10, 100, 95):
        checkpoints.save(step, Saved(), {"a": 1}, {"note": step})
    assert [p.name for p in checkpoints.all()] == ["step-00000095", "step-00000100"]
    (tmp_path / "c" / ".step-00000200.partial").mkdir()
    (tmp_path / "c" / "step-00000200").mkdir()  # without run.json
    assert checkpoints.latest().name == "step-00000100"
    assert read_run(checkpoints.latest()) == {"format": 1, "step": 100, "note": 100}


def test_what_a_kill_left_of_older_ones_is_removed(tmp_path):
    for step in (5, 10, 15):
        Checkpoints(tmp_path, keep=3).save(step, Saved(), {}, {})
    (tmp_path / "step-00000005" / "run.json").unlink()  # killed while it was being removed
    Checkpoints(tmp_path, keep=1).prune()
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000015"]


def test_an_error_while_writing_leaves_nothing(tmp_path):
    class Broken(Saved):
        def save_pretrained(self, folder):
            super().save_pretrained(folder)
            raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        Checkpoints(tmp_path).save(1, Broken(), {}, {})
    assert list(tmp_path.iterdir()) == []
    save_model_folder(Saved(), tmp_path / "model")
    with pytest.raises(ValueError, match="no such thing"):
        save_model_folder(Broken(), tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("in_a_circle", [False, True])
def test_a_failing_disk_ends_with_its_own_error(tmp_path, in_a_circle):
    failed = OSError(errno.EIO, "Input/output error")
    failed.__cause__ = failed if in_a_circle else None  # as other libraries may leave it

    class Failing(Saved):
        def save_pretrained(self, folder):
            with atomic_write(folder / "model.safetensors"):
                raise failed

    with pytest.raises(OSError, match="Input/output"):
        Checkpoints(tmp_path).save(1, Failing(), {}, {})
    assert list(tmp_path.iterdir()) == []


def test_damage_is_named(tmp_path):
    saved = Checkpoints(tmp_path).save(3, Saved(), {}, {})
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer, schedule = optimizer_and_schedule([parameter], PretrainConfig(steps=3))
    for other in ({"optimizer": {}}, {"optimizer": None}, torch.ones(3), ["optimizer"]):
        torch.save(other, saved / "training.pt")
        with pytest.raises(DBetaError, match=r"training.pt holds no training state"):
            load_training(saved, optimizer, schedule)
    (saved / "run.json").write_text('{"format": 9}')
    with pytest.raises(DBetaError, match=r"run.json has another format"):
        read_run(saved)
    (saved / "run.json").write_text("{")
    with pytest.raises(DBetaError, match=r"run.json is damaged"):
        read_run(saved)


def test_a_run_and_a_result_record_give_the_same_hash_of_weights():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    before = weights_hash(model)
    assert before == encoders.weights_hash(model)
    with torch.no_grad():
        model[0].bias[0] += 1
    assert before != weights_hash(model) == encoders.weights_hash(model)


def test_states_without_a_gpu_are_restored_where_there_is_one():
    states = random_states()
    set_random_states({**states, "cuda": [torch.zeros(16, dtype=torch.uint8)] * 99})
