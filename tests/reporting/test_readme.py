"""The README's blocks: one record per cell of a run, several seeds beside each other, run times."""

from dataclasses import replace

import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.results import Result
from dbeta_lib.files import write_json
from dbeta_lib.reporting.readme import render

PROBE = Result(
    encoder="a", data="d", store_fingerprint="f", task="t", protocol="linear probe",
    metric="macro_auc", value=0.8, low=0.78, high=0.82, n=9, label_fraction=0.1, n_train=5,
)  # fmt: skip


def test_two_records_for_one_cell_of_a_run_are_refused(tmp_path):
    PROBE.save(tmp_path / "demo")
    replace(PROBE, label_fraction=1.0).save(tmp_path / "demo")
    assert "0.800" in render("demo", tmp_path)
    stale = replace(PROBE, switches="paper", value=0.5, low=0.4, high=0.6)
    path = stale.save(tmp_path / "demo")
    with pytest.raises(DBetaError, match="answers one question twice") as error:
        render("demo", tmp_path)
    assert path.name in str(error.value) and PROBE.file_name in str(error.value)
    assert "100pc" not in str(error.value)


def test_records_of_fewer_leads_and_of_another_seed_are_no_second_answer(tmp_path):
    PROBE.save(tmp_path / "demo")
    replace(PROBE, lead_subset="2", value=0.1, low=0.0, high=0.2).save(tmp_path / "demo")
    assert "0.800" in render("demo", tmp_path)
    other = replace(PROBE, pretraining_seed=1, value=0.6, low=0.5, high=0.7)
    other.save(tmp_path / "demo")
    assert "0.700" in render("demo", tmp_path)


def test_prompts_edited_between_two_seeds_stand_in_one_row(tmp_path):
    asked = replace(PROBE, protocol="zero-shot", label_fraction=None, n_train=None)
    replace(asked, variant="name en, 01234567").save(tmp_path / "demo-seed0")
    replace(asked, variant="name en, 89abcdef", value=0.7).save(tmp_path / "demo-seed1")
    assert render("demo", tmp_path).count("| name en |") == 1


def test_the_task_asked_in_most_ways_comes_first_and_others_are_folded(tmp_path):
    PROBE.save(tmp_path / "demo")
    replace(PROBE, task="s").save(tmp_path / "demo")
    replace(PROBE, task="s", label_fraction=1.0).save(tmp_path / "demo")
    made = render("demo", tmp_path)
    assert made.index("Linear probe, s,") < made.index("<details>") < made.index("Linear probe, t,")


def test_fewer_leads_fine_tuning_and_persons_have_tables_of_their_own(tmp_path):
    trained = replace(PROBE, encoder="x, pre-trained")
    measured = (("12", 0.8), ("I,II,V5", 0.71), ("1", 0.73), ("3", 0.75), ("V4", 0.6))
    for leads, value in measured:  # a single lead beside I is not shown
        lower = {"value": value, "low": value - 0.02, "high": value + 0.02}
        replace(trained, lead_subset=leads, **lower).save(tmp_path / "demo")
    tuned = replace(PROBE, protocol="full fine-tuning", variant="3 epochs", value=0.9, high=0.95)
    tuned.save(tmp_path / "demo")
    person = {"task": "identification", "label_fraction": None, "n_train": None, "metric": "top1"}
    replace(PROBE, protocol="identification", variant="frozen", **person).save(tmp_path / "demo")
    made = render("demo", tmp_path)
    assert "| asked | 3 | 1 | I,II,V5 |" in made  # as published tables count them, then by name
    assert "| linear probe | 0.750 [0.730, 0.770] | 0.730" in made
    assert "Full fine-tuning, t, 5 labelled" in made
    assert "| a | 3 epochs | 0.900 [0.780, 0.950] |" in made
    assert "| encoder | variant | top1 |" in made


def test_an_interval_has_as_many_digits_as_its_value(tmp_path):
    replace(PROBE, low=0.7854, high=0.8146).save(tmp_path / "demo")
    replace(PROBE, protocol="zero-shot", variant="name en").save(tmp_path / "demo")
    made = render("demo", tmp_path)
    assert "0.800 [0.785, 0.815]" in made and "0.800 [0.780, 0.820]" in made


def test_the_last_row_of_the_times_is_their_sum(tmp_path):
    write_json(tmp_path / "times" / "demo.json", {"00_tour": 30.6, "01_data": 59.6, "02": None})
    write_json(tmp_path / "times" / "real.json", {"00_tour": 3600})
    lines = render("times", tmp_path).strip().splitlines()
    assert lines[-1] == "| all | 1:30 | 60:00 |"
    assert lines[-2] == "| 02 | - | - |"


def test_the_cost_of_a_step_is_that_of_the_last_count_and_of_no_other_benchmark(tmp_path):
    with pytest.raises(DBetaError, match=r"no result 'cost'.*benchmarks/cost.py"):
        render("cost", tmp_path)
    chip = {"name": "H9", "flops": 5e12, "bandwidth": 1e12}
    counted = {"preset": "paper", "batch": 128, "text_tokens": 64, "hours": {"H9": 7.25},
               "utilisation_of_a_night": {"H9": 0.36},
               "step": {"forward_flops": 1e12, "backward_flops": 2e12, "floor": {"H9": 0.6}},
               }  # fmt: skip
    older = {**counted, "hours": {"H9": 99.0}}
    for day, entry in (("2026-01-02", counted), ("2026-01-01", older)):
        found = {"chips": [chip], "entries": [{"preset": "mini"}, entry]}
        write_json(tmp_path / f"{day}-cost.json", found)
    write_json(tmp_path / "2026-01-03-contrast-cost.json", {})
    made = render("cost", tmp_path)
    assert "is 3.0 TFLOP in bf16, all 300,000 steps 0.90 EFLOP" in made
    assert [cell.strip() for cell in made.strip().splitlines()[-1].split("|")[1:-1]] == [
        "H9", "5", "600.0", "7.2", "36%",
    ]  # fmt: skip


def test_speed_is_that_of_the_last_results_and_the_largest_table(tmp_path):
    with pytest.raises(DBetaError, match=r"no fast path.*benchmarks/fast_path.py"):
        render("speed", tmp_path)
    ways = {"fast path": [30.0, 40.0], "reference": [10.0, 20.0], "batches": [300.0, 400.0]}
    rates = {name: {"clock": of, "processor": of} for name, of in ways.items()}
    path = {"switches": "paper", "threads": 2, "rounds": 2, "records_per_s": rates}
    slower = {**rates, "reference": {kind: [20.0, 20.0] for kind in ("clock", "processor")}}
    write_json(tmp_path / "2026-01-01-fast-path-a.json", {**path, "records_per_s": slower})
    write_json(tmp_path / "2026-01-02-fast-path-a.json", path)
    write_json(tmp_path / "2026-01-02-fast-path-full.json", {"ways": {}})
    with pytest.raises(DBetaError, match=r"no result 'soak'.*benchmarks/soak.py"):
        render("speed", tmp_path)
    grown = {"own": {"mb_per_1000": 0.26, "middle": 100.0, "end": 101.2}}
    write_json(tmp_path / "2026-01-01-soak.json", {"kinds": grown, "steps": 2000})
    with pytest.raises(DBetaError, match=r"no negatives at scale.*benchmarks/negatives_at"):
        render("speed", tmp_path)
    for texts, seconds in ((9000, 61.0), (500, 9.0)):
        of = {"build_s": seconds, "peak_mb": 1025.0}
        found = {"texts": texts, "dim": 8, "threads": 1, "ways": {"n3s": of, "balanced": of}}
        write_json(tmp_path / f"2026-01-01-negatives-at-scale-{texts}x8.json", found)
    fast, soak, negatives = render("speed", tmp_path).strip().splitlines()
    assert "paper switches on 2 CPU threads: 35 records/s, the plain way 15, [2.50 times]" in fast
    assert "10 times as fast as they are used" in fast and "2026-01-02-fast-path-a.md" in fast
    assert "[0.3 MB per 1,000 steps]" in soak and "101 at the end" in soak
    assert "[9,000 distinct reports of 8 numbers]" in negatives and "on 1 thread:" in negatives
    assert "in 1:01 min below 1.1 GB" in negatives
