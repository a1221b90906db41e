"""The README's tables of a sweep say what the kept runs say.

That they are what `render_sweep` gives, tests/test_readme.py shows for every block.
"""

import json
import shutil
from pathlib import Path

import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.reporting.readme import blocks
from dbeta_lib.reporting.readme_sweeps import FOLDER, RESAMPLES, render_sweep
from dbeta_lib.sweeps import Comparison, read_runs, read_sweep
from dbeta_lib.sweeps.pairs import AGAINST, CONTROLS, PAIRS, pairs_of

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_verdicts_levels_and_controls_are_those_of_the_runs():
    said = blocks((ROOT / "README.md").read_text(encoding="utf-8"))["sweep-central"]
    compared = Comparison(read_runs(RESULTS / FOLDER, "central"), RESAMPLES)
    table = compared.verdicts(PAIRS["central"], "probe_10")
    lines = said.splitlines()
    for what, row in table.iterrows():
        line = next(line for line in lines if line.startswith(f"| {what} |"))
        assert row["verdict"] in line and f"{row['value']:.3f}" in line
        assert ("exploratory" in line) == row["exploratory"]
    levels = compared.levels(("probe_10",)).set_index("name")["value"]
    for name in compared.names:
        own = [line for line in lines if line.startswith(f"| {name} |")]
        assert any(f"{levels[name]:.3f}" in line for line in own)


def test_what_mem_learnt_is_told_by_seed_beside_a_flat_line():
    said = blocks((ROOT / "README.md").read_text(encoding="utf-8"))["sweep-central"]
    files = sorted((RESULTS / FOLDER / "central" / "ecg-only").glob("seed*/run.json"))
    facts = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    told = ", ".join(f"{fact['losses']['mem']:.2f}" for fact in facts)
    dropped = facts[0]["identity"]["config"]["objective"]["lead_dropout"]
    assert f"ECG only {told};" in said and f"a flat line has {1 - dropped:.2f}" in said


def test_rows_of_another_version_are_named_and_one_row_alone_is_no_comparison(tmp_path):
    for row in ("none", "recommended"):
        where = tmp_path / FOLDER / "augmentations" / row
        shutil.copytree(RESULTS / FOLDER / "augmentations" / row, where)
        if row == "none":
            assert "Nothing to compare yet" in render_sweep("augmentations", tmp_path)
    assert "another version" not in render_sweep("augmentations", tmp_path)
    file = where / "seed0" / "run.json"
    facts = json.loads(file.read_text(encoding="utf-8"))
    facts["identity"]["code"] = "0"
    file.write_text(json.dumps(facts), encoding="utf-8")
    assert "than the others: recommended." in render_sweep("augmentations", tmp_path)


def test_every_pair_is_of_two_rows_that_the_sweep_has():
    for sweep, pairs in PAIRS.items():
        rows = read_sweep(ROOT / "notebooks" / "sweeps" / f"{sweep}.yaml", "ptbxl").names
        assert {name for pair in pairs.values() for name in pair} <= set(rows)
    for sweep, base in AGAINST.items():
        rows = read_sweep(ROOT / "notebooks" / "sweeps" / f"{sweep}.yaml", "ptbxl").names
        pairs = pairs_of(sweep, rows)
        assert {name for name, _ in pairs.values()} == set(rows) - {base, *CONTROLS}
        assert {other for _, other in pairs.values()} == {base} <= set(rows)
    files = {path.stem for path in (ROOT / "notebooks" / "sweeps").glob("*.yaml")}
    assert files == {*PAIRS, *AGAINST}


def test_a_sweep_that_is_not_kept_is_one_sentence(tmp_path):
    with pytest.raises(DBetaError, match=r"central is not there; run it: dbeta sweep central"):
        render_sweep("central", tmp_path)
