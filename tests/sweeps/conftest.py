"""A very small synthetic cohort and very small models: a run in a second or two."""

import json
import textwrap
from pathlib import Path

import pytest

from dbeta_lib.data import prepare
from dbeta_lib.sweeps import read_sweep

TINY = {
    "conv_layers": [[16, 8, 4], [16, 4, 4], [16, 2, 2]], "ecg_width": 16, "ecg_ffn": 32,
    "ecg_heads": 2, "ecg_layers": 1, "position_kernel": 4, "position_groups": 2,
    "fusion_width": 16, "fusion_heads": 2, "decoder_width": 16, "decoder_layers": 1,
    "decoder_heads": 2, "text_vocabulary": 200, "max_text_tokens": 24,
    "text_architecture": {
        "model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2,
        "feed_forward_proj": "gated-gelu", "pad_token_id": 0, "eos_token_id": 1,
    },
}  # fmt: skip
QUICK = {"steps": 2, "batch_size": 8, "draws": 2, "resamples": 20, "eval_records": 16, "width": 4,
         "epochs": 1, "mem_first": 1, "checkpoint_every": 0}  # fmt: skip


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """30 patients at 100 Hz with the task "conditions", for which the kit has prompts."""
    path = tmp_path_factory.mktemp("sweeps") / "store"
    return prepare("synthetic", None, path, 100, workers=1, patients=30, progress=False)


@pytest.fixture(scope="session")
def write_sweep(tmp_path_factory):
    """`write_sweep(rows)` -> path of a YAML file with these runs and a quick profile."""

    def write(rows: str) -> Path:
        path = tmp_path_factory.mktemp("files") / "small.yaml"
        sizes = json.dumps({**QUICK, "overrides": TINY})
        path.write_text(f"profiles: {{demo: {sizes}}}\nruns:\n{textwrap.dedent(rows)}")
        return path

    return write


@pytest.fixture(scope="session")
def runs(write_sweep):
    """`runs(rows, **changes)` -> the runs of such a file."""
    return lambda rows, **changes: read_sweep(write_sweep(rows), **changes).runs
