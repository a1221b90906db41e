"""Pre-training over two stores at once: runs, mines over both, and its identity names both."""

import importlib.util
from pathlib import Path

import pytest

from dbeta_lib.data.joined import JoinedStore
from dbeta_lib.errors import AnotherRun
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.start import build_model

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("conftest.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

RUN = {"steps": 4, "batch_size": 8, "lr": 1e-3, "eval_every": 2, "eval_records": 8,
       "tensorboard": False, "progress": False, "say": lambda sentence: None}  # fmt: skip


def test_two_stores_are_pre_trained_on_as_one(tmp_path):
    one, two = (tiny.write_store(tmp_path / name, seed=i) for i, name in enumerate("ab"))
    both = JoinedStore([one, two], [1, 0.5])
    summary = pretrain(build_model(tiny.tiny_config(), both, 1), both, tmp_path / "run", **RUN)
    assert summary.steps == 4 and summary.identity["store"] == both.fingerprint
    table = both.path.with_name(f"{both.path.name}.negatives.train.npz")
    assert table.is_file()  # mined over the reports of both
    other = JoinedStore([one, two], [1, 1])
    with pytest.raises(AnotherRun, match="is of another run"):
        pretrain(
            build_model(tiny.tiny_config(), other, 1), other, tmp_path / "run", resume=True, **RUN
        )
