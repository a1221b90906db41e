"""The kit's own sweeps: all that is claimed has a row, and every row builds and learns."""

import math
import subprocess
from pathlib import Path

import pytest

from dbeta_lib.comparisons import COMPARISONS
from dbeta_lib.config import AUGMENTING, DBetaConfig
from dbeta_lib.data import DATASETS, prepare
from dbeta_lib.evaluation.prompts import load
from dbeta_lib.notebook_parameters import read_profile
from dbeta_lib.presets import SWITCHES
from dbeta_lib.reporting.paper_numbers import published
from dbeta_lib.sweeps import read_sweep
from dbeta_lib.sweeps.spec import SUPERVISED, TEXT_ONLY
from dbeta_lib.sweeps.supervised import learn_from_labels
from dbeta_lib.sweeps.train import train

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FILES = sorted((NOTEBOOKS / "sweeps").glob("*.yaml"))
PROFILES = ("smoke", "demo", "ptbxl")
TABLES = {  # as the CSV calls them -> as rows name them
    "ablation components (summary Table 6)": "Table 6",
    "ablation text encoder (summary Table 7)": "Table 7",
}
CENTRAL = ["random encoder", "ECG only", "baseline", "+ ETS", "+ N3S", "+ balanced", "supervised"]


def every_run(profile="smoke"):
    """Runs of all files; of those by a hub's name too."""
    return [run for path in FILES for run in read_sweep(path, profile, rows=()).runs]


def test_the_sweeps_are_there():
    names = {path.stem for path in FILES}
    assert names == {
        "augmentations", "central", "comparisons", "components", "negatives", "switches",
        "text_encoders",
    }  # fmt: skip
    assert all(read_sweep(path).name == path.stem for path in FILES)


def test_every_row_of_the_papers_ablation_tables_has_a_configuration_and_no_other_is_claimed():
    printed = published()
    wanted = {
        f"{TABLES[table]}: {row}"
        for table, row in zip(printed["table"], printed["row"], strict=True)
        if table in TABLES
    }
    assert len(wanted) == 8
    others = {f"{t}: {r}" for t, r in zip(printed["table"], printed["row"], strict=True)}
    claimed = {name for run in every_run() for name in run.paper}
    assert wanted <= claimed
    assert claimed - wanted <= others
    assert not any(name.startswith("full fine-tuning") for name in claimed), "no sweep fine-tunes"


def test_every_comparison_model_and_control_has_a_row():
    models = {run.model for run in every_run() if run.sweep == "comparisons"}
    assert models == {*COMPARISONS, "dbeta", "random", SUPERVISED, TEXT_ONLY}


def test_every_switch_of_the_presets_is_changed_by_itself():
    """From the recommended set, and to each value that another set has."""
    base = DBetaConfig.preset("mini", "recommended")
    alone = {
        (name, run.config.get(name))
        for run in every_run()
        if run.sweep in ("switches", "negatives", "augmentations")
        for name in run.overrides
        if len(run.overrides) == 1 or run.sweep == "augmentations"
    }
    changed = {name for name, value in alone if value != base.get(name)}
    assert set(SWITCHES["recommended"]) - changed == set()
    for switches in ("paper", "released"):
        for name, value in SWITCHES[switches].items():
            value = 0 if (name, value) == ("mem_layer", 3) else value  # mini has one fusion layer
            if value != base.get(name) and name != "time_shift":
                assert (name, value) in alone, (name, value)


def test_mask_ratios_depth_and_every_augmentation_have_rows():
    runs = every_run()
    values = {name: {run.config.get(name) for run in runs} for name in
              ("mask_ratio", "mlm_probability", "ecg_layers", *AUGMENTING)}  # fmt: skip
    assert {0.25, 0.5, 0.75, 0.9} <= values["mask_ratio"]
    assert {0.05, 0.15, 0.25, 0.5} <= values["mlm_probability"]
    assert {1, 2, 4, 8} <= values["ecg_layers"]
    for name, nothing in AUGMENTING.items():
        assert {nothing} < values[name], name


def test_the_central_comparison_is_five_seeds_of_600_steps_alike():
    sweep = read_sweep(NOTEBOOKS / "sweeps" / "central.yaml", "ptbxl")
    rows = [name for name in sweep.names if name != "text alone"]
    assert sorted(rows) == sorted(CENTRAL)
    for name in rows:
        runs = sweep.pick([name])
        assert [run.seed for run in runs] == [0, 1, 2, 3, 4]
        assert {(run.training.steps, run.training.batch_size) for run in runs} == {(600, 32)}
    trained = [r for r in sweep.runs if r.model == "dbeta"]
    for name in ("baseline", "+ ETS", "+ N3S", "+ balanced"):
        assert name in {run.name for run in trained}
    texts = {str(run.config.text) for run in trained}
    assert len(texts) == 1  # the rows differ by their component alone
    # What learns from labels sees about as many records as the others.
    tuned = sweep.pick(["supervised"])[0].tuning
    assert math.isclose(tuned.epochs * 1400, 600 * 32, rel_tol=0.05)


@pytest.mark.parametrize("profile", ["gpu", "cohort"])
def test_the_larger_central_comparison_has_the_same_rows_and_its_network_learns(
    profile, store, tmp_path
):
    path = NOTEBOOKS / "sweeps" / "central.yaml"
    larger = read_sweep(path, profile)
    assert larger.names == read_sweep(path, "ptbxl").names
    assert {run.seed for run in larger.pick(CENTRAL)} == {0, 1, 2, 3, 4}
    quick = {"dataset": "synthetic", "task": "conditions", "languages": ["en"]}
    quick |= {"steps": 2, "batch_size": 4, "mem_first": 1, "checkpoint_every": 0}
    run = read_sweep(path, profile, **quick).pick(["+ balanced"], [3])[0]
    trained = train(run, store, tmp_path, say=lambda sentence: None, progress=False)
    assert trained.steps == 2 and 25e6 < trained.parameters < 30e6
    assert all(math.isfinite(value) for value in trained.losses.values())


def test_the_script_of_the_larger_comparison_asks_for_its_folder():
    script = NOTEBOOKS.parent / "benchmarks" / "central_gpu.sh"
    told = subprocess.run([script], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stderr == "name the folder of PTB-XL: benchmarks/central_gpu.sh DIR\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_data_are_those_of_the_notebooks_profile_of_the_same_name(path):
    for name in PROFILES:
        profile = read_sweep(path, name).profile
        theirs = read_profile(NOTEBOOKS / "profiles" / f"{name}.yaml")
        assert profile.dataset == theirs["dataset"] and profile.dataset in DATASETS
        assert profile.task == theirs["task"] in load()["prompts"][profile.dataset]
        if profile.dataset == "synthetic":  # the same cohort, so that its store is shared
            assert profile.patients == theirs["patients"]
        else:
            assert profile.report_text == theirs["report_text"]


def distinct_rows():
    """(sweep, row) of every configuration once; those of a hub's name need its weights."""
    found = {}
    for run in every_run():
        if not run.config.text.text_model:
            settings = sorted({**run.settings, **run.model_settings}.items())
            found.setdefault((run.model, run.config.hash(), str(settings)), (run.sweep, run.name))
    return list(found.values())


ROWS = distinct_rows()


@pytest.fixture(scope="module")
def small(runs):
    """`small(sweep, row)` -> its run at the smallest size."""
    sizes = runs("- {name: any}\n")[0].profile
    found = {}

    def small(sweep, row):
        if sweep not in found:
            path = NOTEBOOKS / "sweeps" / f"{sweep}.yaml"
            changes = {**vars(sizes), "draws": 1, "rows": [], "seeds": [0], "languages": ["en"]}
            found[sweep] = read_sweep(path, "smoke", **changes)
        return found[sweep].pick([row])[0]

    return small


@pytest.fixture(scope="module")
def faster(tmp_path_factory):
    """The same cohort at 250 Hz, for rows that work there."""
    path = tmp_path_factory.mktemp("faster") / "store"
    return prepare("synthetic", None, path, 250, workers=1, patients=12, progress=False)


@pytest.mark.parametrize(("sweep", "row"), ROWS, ids=[": ".join(row) for row in ROWS])
def test_every_row_builds_and_does_two_steps(small, store, faster, tmp_path, sweep, row):
    run = small(sweep, row)
    data = {100: store, 250: faster}[run.sampling_rate]
    if run.model == TEXT_ONLY:
        return  # nothing is built; `test_run` measures it
    if run.model == SUPERVISED:
        steps = -(-len(data.rows("train")) // run.tuning.batch_size)  # of one epoch
        assert learn_from_labels(run, data, progress=False)[0].steps == steps
        return
    trained = train(run, data, tmp_path, say=lambda sentence: None, progress=False)
    assert trained.steps == (0 if run.model == "random" else 2)
    assert all(math.isfinite(value) for value in trained.losses.values())
