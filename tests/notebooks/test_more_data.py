"""Notebook 01 with a folder of one's own beside the synthetic cohort; 03 on both, joined."""

import json
import subprocess
import sys

import numpy as np
import wfdb

from dbeta_lib.command_line import ROOT
from dbeta_lib.data.synthetic import generate
from dbeta_lib.leads import LEADS


def test_a_second_data_set_gets_its_store_its_page_and_is_trained_on(tmp_path):
    ecg, records, _ = generate(12, 1, 100, seed=3)
    mine = tmp_path / "mine"
    mine.mkdir()
    for number, uv in enumerate(ecg):
        wfdb.wrsamp(
            f"r{number}", fs=100, units=["mV"] * 12, sig_name=list(LEADS), fmt=["16"] * 12,
            p_signal=np.ascontiguousarray(uv.T) / 1000, write_dir=str(mine),
        )  # fmt: skip
    table = records[["report"]].assign(record=[f"r{n}" for n in range(len(ecg))], split="train")
    table.to_csv(mine / "records.csv", index=False)
    command = [
        sys.executable, "-m", "dbeta_lib.workflow", "--profile", "smoke", "--only", "01,03",
        "--out", str(tmp_path / "out"), "--data", f"folder={mine}",
        "--set", 'stores={"synthetic": 1, "folder": 2}',
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    pages = sorted(path.name for path in (tmp_path / "out/data_reports").iterdir())
    assert pages == ["folder.html", "synthetic.html"]
    index = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert 'href="data_reports/folder.html"' in index
    summary = json.loads((tmp_path / "out/pretraining/summary.json").read_text())
    assert [name for name, _ in summary["identity"]["stores"]] == ["synthetic", "folder"]
