"""A sweep's file: what it says is what the runs are; what is wrong is told before any training."""

from pathlib import Path

import pytest

from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import UsageError
from dbeta_lib.sweeps import read_sweep
from dbeta_lib.sweeps.spec import slug

FILE = """\
name: mine
overrides: {mask_ratio: 0.6, lead_dropout: 0.1}
profiles:
  demo: {steps: 7, seeds: [3, 5], mem_first: 2, overrides: {lead_dropout: 0.2, ecg_layers: 1}}
  smoke: {rows: [second]}
runs:
  - {name: first, group: a, overrides: {ecg_layers: 3}, settings: {lr: 0.5}, note: a note}
  - {name: second, seeds: [9], switches: paper, overrides: {mem_weight: 0.0}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return path


def test_rows_and_seeds_are_runs_and_the_row_wins_over_profile_and_file(tmp_path):
    sweep = read_sweep(written(tmp_path, FILE))
    assert (sweep.name, sweep.names) == ("mine", ("first", "second"))
    assert [(r.name, r.seed, r.order) for r in sweep.runs] == [
        ("first", 3, 0), ("first", 5, 0), ("second", 9, 1)
    ]  # fmt: skip
    first, _, second = sweep.runs
    assert first.config == DBetaConfig.preset(
        "mini", "recommended", mask_ratio=0.6, lead_dropout=0.2, ecg_layers=3
    )
    assert (first.training.steps, first.training.lr, first.training.seed) == (7, 0.5, 3)
    assert (first.training.mem_first, second.training.mem_first) == (2, 0)
    assert second.config.switches == "paper" and second.config.objective.mem_weight == 0
    assert first.folder("out") == Path("out/mine/first/seed3")
    assert [r.name for r in read_sweep(written(tmp_path, FILE), "smoke").runs] == ["second"]
    changed = read_sweep(written(tmp_path, FILE), seeds=(1,), overrides={"lead_dropout": 0.4})
    assert changed.runs[0].seed == 1 and changed.runs[0].config.get("lead_dropout") == 0.4
    assert changed.runs[0].config.get("ecg_layers") == 3


def test_a_profile_has_settings_of_every_row_and_a_row_its_own(tmp_path):
    settings = "mem_first: 2, settings: {clip_norm: 0.1, pack_texts: true},"
    text = FILE.replace("mem_first: 2,", settings)
    sweep = read_sweep(written(tmp_path, text), settings={"weight_decay": 0.3})
    first, _, second = (run.training for run in sweep.runs)
    assert first.clip_norm == second.clip_norm == 0.1 and first.lr == 0.5
    assert all(one.pack_texts and one.weight_decay == 0.3 for one in (first, second))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("group: a", "gruop: a", "row 1 has an unknown 'gruop'; did you mean 'group'"),
        ("steps: 7", "stesp: 7", "profile demo has no 'stesp'; did you mean 'steps'"),
        ("steps: 7", "steps: 7, steps: 8", "'steps' is given twice"),
        ("steps: 7", "steps: seven", "steps takes a whole number, not 'seven'"),
        ("lr: 0.5", "lr: 1e-3", "lr takes a number, not '1e-3'; write 1.0e-3"),
        ("mem_first: 2", "settings: {rl: 0.5}", "profile demo, settings has no 'rl'"),
        ("mem_first: 2", "settings: {pack_texts: 'no'}", "pack_texts takes true or false"),
        ("mem_first: 2", "settings: {seed: 7}", "settings: seed is a field of the profile itself"),
        ("mem_first: 2", "settings: null", "settings takes a table, not None"),
        ("lr: 0.5", "rl: 0.5", "settings has no 'rl'"),
        ("{ecg_layers: 3}", "{ecg_lairs: 3}", "row 'first': there is no setting 'ecg_lairs'"),
        ("{ecg_layers: 3}", "{ecg_layers: true}", "ecg_layers takes a whole number, not True"),
        ("{ecg_layers: 3}", "{negatives: n4s}", "negatives='n4s' is not one of"),
        ("group: a", "group: no", "group takes text, not False"),
        ("seeds: [9]", "seeds: [x]", "seeds takes whole numbers, not 'x'"),
        ("name: second", "name: First", "the row 'First' has the same folder as 'first'"),
        ("name: second,", "", "row 2 has no name"),
        ("group: a", "model: merle", "there is no model 'merle'; did you mean 'merl'"),
        ("group: a", "model: clip, model_settings: {temp: 1}", "clip has no setting 'temp'"),
        ("group: a", "model: random, model_settings: {x: 1}", "'random' has no setting 'x'"),
        ("switches: paper", "switches: papre", "no switches 'papre'; did you mean 'paper'"),
        ("rows: [second]", "rows: [secnod]", "did you mean 'second'"),
        ("profiles:", "profile:", "unknown 'profile'; did you mean 'profiles'"),
        ("  - {name: first", "  {name: first", "is no YAML that can be read"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_file_and_the_nearest_name(
    tmp_path, before, after, sentence
):
    assert before in FILE
    path = written(tmp_path, FILE.replace(before, after))
    with pytest.raises(UsageError) as error:
        read_sweep(path, "smoke" if "rows" in before else "demo")
    assert sentence in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("- 1", "is no sweep"), ("runs: []", "names no runs"), ("runs: [3]", "is no table")],
)
def test_a_file_that_is_no_sweep_is_named(tmp_path, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        read_sweep(written(tmp_path, text + "\nprofiles: {demo: {}}" * text.startswith("runs")))
    with pytest.raises(UsageError, match="is not there"):
        read_sweep(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="no profile 'deom'; did you mean 'demo'"):
        read_sweep(written(tmp_path, FILE), "deom")


def test_no_code_in_the_file_is_run(tmp_path):
    with pytest.raises(UsageError, match="is no YAML that can be read"):
        read_sweep(written(tmp_path, FILE + "shared: !!python/object/apply:os.getcwd []\n"))


def test_picking_names_the_nearest_row_and_the_seeds_there_are(tmp_path):
    sweep = read_sweep(written(tmp_path, FILE))
    assert [r.seed for r in sweep.pick(["first"])] == [3, 5]
    assert [r.name for r in sweep.pick(None, [9])] == ["second"]
    with pytest.raises(UsageError, match="did you mean 'second'"):
        sweep.pick(["secnd"])
    with pytest.raises(UsageError, match=r"there are \[3, 5, 9\]"):
        sweep.pick(None, [4])


def test_slugs_keep_plus_and_minus_apart():
    assert slug("+ ETS") == "plus-ets" != slug("- ETS") == "minus-ets" == slug("− ETS")
    assert slug("full - N3S / 50 %") == "full-n3s-50"
