"""Real notebooks through real papermill: products, skipping, failure, stopping, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from dbeta_lib.command_line import plan
from dbeta_lib.errors import DBetaError
from dbeta_lib.workflow import state as state_module
from dbeta_lib.workflow.execute import Run, _failing_line
from dbeta_lib.workflow.progress import Expected, clock
from dbeta_lib.workflow.run import main
from dbeta_lib.workflow.state import Keys, State, empty, locked

TYPED = """number = 1  # a whole number
rate = 0.5  # a number
flag = False  # a switch
word = "a"  # text
several = [1, 2]  # a list
profile = "none"  # the common ones
out = "../runs/none"
data = {}
"""
SHOW = """import json, sys
shown = [number, rate, flag, word, several, profile, out, data]
print(json.dumps([shown, sys.executable, sys.prefix]))"""
FIGURE = """from pathlib import Path
folder = Path(out) / "figures"
folder.mkdir(exist_ok=True)
_ = (folder / "a & b.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')"""


def test_a_whole_run_then_nothing_then_what_changed(kit, capsys):
    kit.profile("number: 2\nword: b\n")
    kit.write("00_first", SHOW, FIGURE, parameters=TYPED, title="First <b>&")
    kit.write("01_second", "#summary\nprint(seed, '<table>')", "seed", parameters="seed = 0")

    assert main(kit.arguments("--set", "several=3")) == 0
    text = capsys.readouterr().out
    assert "[1/2] 00_first: started" in text and "[2/2] 01_second: finished in 0:0" in text
    assert "0 <table>" in text  # what a cell tagged `summary` printed

    shown, executable, prefix = json.loads(kit.printed("00_first"))
    assert shown == [2, 0.5, False, "b", [3], "demo", str(kit.out), {}]
    assert (executable, prefix) == (sys.executable, sys.prefix)
    index = (kit.out / "index.html").read_text(encoding="utf-8")
    assert "First &lt;b&gt;&amp;" in index and "0 &lt;table&gt;" in index
    assert 'src="figures/a%20%26%20b.svg"' in index and 'href="html/01_second.html"' in index
    assert "&lt;table&gt;" in (kit.out / "html" / "01_second.html").read_text(encoding="utf-8")
    names = {p.name for p in (kit.out / "notebooks").iterdir()}
    assert names == {"00_first.ipynb", "01_second.ipynb"}

    assert main(kit.arguments("--set", "several=3")) == 0
    text = capsys.readouterr().out
    assert text.count("unchanged since") == 2 and "0 run, 2 skipped" in text
    assert "0 <table>" in text  # a skipped notebook's table is still shown

    # Another parameter of the second notebook runs that one alone, and it sees the new value.
    assert main(kit.arguments("--set", "several=3", "--set", "seed=41")) == 0
    text = capsys.readouterr().out
    assert "1 to run, about 0:0" in text and "00_first: unchanged" in text
    assert kit.printed("01_second").startswith("41 ")


def test_every_kind_of_parameter_has_its_effect(kit, tmp_path):
    kit.write("00_first", SHOW, parameters=TYPED)
    changes = {"number": "-3", "rate": "2", "flag": "true", "word": "7", "several": "[]"}
    options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    kit.profile("")
    assert main(kit.arguments(*options, "--data", f"ptb-xl={tmp_path}")) == 0
    shown = json.loads(kit.printed("00_first"))[0]
    assert shown == [-3, 2.0, True, "7", [], "demo", str(kit.out), {"ptb-xl": str(tmp_path)}]


def test_a_failing_cell_stops_the_run_and_is_shown(kit, capsys):
    kit.write("00_good", "1")
    bad = kit.write("01_bad", "x = 1\ny = 2\nraise ValueError('no such <lead>\\nsecond line')")
    kit.write("02_after", "1")
    assert main(kit.arguments()) == 1
    text = capsys.readouterr().out
    assert "[2/3] 01_bad: failed in cell [3]" in text  # papermill's cell of parameters is one
    assert ">   3 | raise ValueError('no such <lead>" in text
    assert "\nValueError: no such <lead>" in text
    assert "\x1b" not in text and "Traceback" not in text and len(text.splitlines()) < 25
    copy = kit.out / "notebooks" / "01_bad.ipynb"
    assert str(copy) in text
    outputs = [o for c in nbformat.read(copy, 4).cells for o in c.get("outputs", [])]
    assert any(o.output_type == "error" for o in outputs)
    assert "no such &lt;lead&gt;" in (kit.out / "index.html").read_text(encoding="utf-8")
    records = kit.state()["notebooks"]
    assert {name: r["status"] for name, r in records.items()} == {
        "00_good": "finished",
        "01_bad": "failed",
    }

    bad.write_text(bad.read_text(encoding="utf-8").replace("raise", "_ ="), encoding="utf-8")
    assert main(kit.arguments()) == 0
    text = capsys.readouterr().out
    assert "00_good: unchanged" in text and "2 run, 1 skipped" in text


def test_a_dead_kernel_is_a_failure(kit, capsys):
    kit.write("00_dies", "import os\nos.write(2, b'out of memory')\nos._exit(9)")
    assert main(kit.arguments()) == 1
    assert "the kernel died; was the memory used up?" in capsys.readouterr().out
    assert "out of memory" in (kit.out / "notebooks" / "00_dies.log").read_text()
    assert kit.state()["notebooks"]["00_dies"]["status"] == "failed"


CHECKPOINT = """import pathlib, signal, sys, time

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
place = pathlib.Path(out)
if (place / "checkpoint").exists():
    print("goes on")
else:
    (place / "started").write_text("")
    try:
        time.sleep(60)
    finally:
        time.sleep(0.5)
        (place / "checkpoint").write_text("whole")"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stopped_run_writes_its_checkpoint_and_goes_on(kit, number, code):
    kit.write("00_trains", CHECKPOINT, parameters='seed = 0\nout = ""')
    command = [sys.executable, "-m", "dbeta_lib.workflow", *kit.arguments()]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # Background jobs of a shell ignore Ctrl-C and hand that down; this run must hear it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (kit.out / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    text = process.communicate(timeout=30)[0]
    assert process.returncode == code, text
    assert "stopped after" in text and "Traceback" not in text
    assert (kit.out / "checkpoint").read_text() == "whole"
    assert kit.state()["notebooks"]["00_trains"]["status"] == "stopped"
    if number == signal.SIGTERM:
        assert main(kit.arguments()) == 0
        assert "goes on" in kit.printed("00_trains")


def test_two_runs_do_not_share_a_folder(kit, capsys):
    kit.write("00_first", "1")
    with locked(kit.out):
        assert main(kit.arguments()) == 1
    error = capsys.readouterr().err
    assert f"another run (process {os.getpid()}) is using {kit.out}" in error
    assert error.count("\n") == 1


def test_wrong_use_is_refused_by_the_workflow_too(kit, capsys):
    kit.write("00_first", "1")
    assert main(kit.arguments("--set", "sead=1")) == 2
    assert "did you mean 'seed'?" in capsys.readouterr().err
    assert not kit.out.exists()


def test_a_package_that_a_parameter_needs_is_asked_for_before_any_notebook(
    kit, capsys, monkeypatch
):
    monkeypatch.setattr("dbeta_lib.workflow.run.find_spec", lambda name: None)
    kit.write("00_first", "1", parameters="seed = 0\nneurokit = False")
    assert main(kit.arguments("--set", "neurokit=true")) == 2
    assert 'pip install "dbeta_lib[features]"' in capsys.readouterr().err
    assert not kit.out.exists()
    assert main(kit.arguments()) == 0


def keys(kit, *options: str) -> dict[str, str]:
    """Key of each notebook as if all before it had finished."""
    asked = plan(kit.arguments(*options))
    records, found = {}, {}
    made = Keys(asked)
    for notebook in asked.notebooks:
        found[notebook.name], effect = made.of(notebook, records)
        records[notebook.name] = {"status": "finished", "effect": effect}
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Numbers of the notebooks whose key differs."""
    return [name[:2] for name in before if before[name] != after[name]]


def test_what_makes_a_notebook_run_again(kit, tmp_path, monkeypatch):
    kit.write("00_first", "1", parameters="seed = 0\nfirst = 1\ndata = {}")
    kit.write("01_second", "2")
    kit.write("02_third", "3", parameters="seed = 0\nthird = 1")
    data = tmp_path / "data"
    (data / "records").mkdir(parents=True)
    (data / "table.csv").write_text("a,b\n")
    options = ("--data", f"ptb-xl={data}")
    before = keys(kit, *options)
    assert changed(before, keys(kit, *options)) == []
    assert changed(before, keys(kit, *options, "--set", "third=2")) == ["02"]
    assert changed(before, keys(kit, *options, "--set", "first=2")) == ["00", "01", "02"]
    assert changed(before, keys(kit)) == ["00", "01", "02"]

    (data / "records" / "1.dat").write_text("one more record")
    grown = keys(kit, *options)
    assert changed(before, grown) == ["00", "01", "02"]
    (data / "table.csv").write_text("a,c\n")
    edited = keys(kit, *options)
    assert changed(grown, edited) == ["00", "01", "02"]

    kit.write("01_second", "2", title="Other prose")
    prose = keys(kit, *options)
    assert changed(edited, prose) == ["01"]  # prose changes the page, not what follows
    kit.write("01_second", "2 + 2", title="Other prose")
    assert changed(prose, keys(kit, *options)) == ["01", "02"]

    monkeypatch.setattr(state_module, "library_hash", lambda: "another library")
    assert changed(prose, keys(kit, *options)) == ["00", "01", "02"]


def test_the_library_hash_sees_code_and_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(state_module, "ROOT", tmp_path)
    code = tmp_path / "dbeta_lib" / "data" / "x.py"
    code.parent.mkdir(parents=True)
    hashes = []
    for path, text in ((code, "a"), (code, "b"), (code.with_suffix(".json"), "{}")):
        path.write_text(text)
        hashes.append(state_module.library_hash())
    code.with_suffix(".pyc").write_text("cache")
    assert len(set(hashes)) == 3 and state_module.library_hash() == hashes[-1]


def test_an_unfinished_notebook_counts_for_nothing(kit):
    kit.write("00_first", "1")
    kit.write("01_second", "2")
    made = Keys(plan(kit.arguments()))
    second = plan(kit.arguments()).notebooks[1]
    failed = {"00_first": {"status": "failed", "effect": "e"}}
    assert made.of(second, failed) == made.of(second, {})
    assert made.of(second, {"00_first": {"status": "finished", "effect": "e"}}) != made.of(
        second, {}
    )


def test_fresh_empties_our_folder_alone_and_keeps_the_timings(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "precious"
    (out / "store").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "data.npy").write_text("years of work")
    (out / "link").symlink_to(elsewhere)
    empty(out)
    assert (out / "store").exists()  # no marker: not ours
    state = State(out)
    state.timings["00_first"] = {"seconds": 3.0, "cells": [1.0]}
    state.record("demo", "00_first", status="finished")
    empty(out)
    assert [p.name for p in out.iterdir()] == ["workflow.json"]
    assert (elsewhere / "data.npy").exists()
    assert State(out).notebooks == {} and State(out).timings["00_first"]["seconds"] == 3.0


def test_a_state_of_another_format_or_a_damaged_one_is_named(tmp_path):
    (tmp_path / "workflow.json").write_text('{"format": 0}')
    with pytest.raises(DBetaError, match="is of another version; run once with --fresh"):
        State(tmp_path)
    (tmp_path / "workflow.json").write_text("{")
    with pytest.raises(DBetaError, match=r"workflow\.json is damaged"):
        State(tmp_path)
    empty(tmp_path)
    assert State(tmp_path).notebooks == {}


def test_expected_times_come_from_the_last_run_then_from_the_table(tmp_path):
    (tmp_path / "profiles").mkdir()
    table = tmp_path / "profiles" / "expected_minutes.json"
    state = State(tmp_path)
    assert Expected.of("00_first", state, "demo", tmp_path) == Expected(None)
    table.write_text('{"demo": {"00_first": 1.5}}')
    assert Expected.of("00_first", state, "demo", tmp_path) == Expected(90.0)
    assert Expected.of("00_first", state, "ptbxl", tmp_path) == Expected(None)
    state.timings["00_first"] = {"seconds": 4.0, "cells": [1.0, 3.0]}
    known = Expected.of("00_first", state, "demo", tmp_path)
    assert (known.seconds, known.of_cell(1, 2), known.of_cell(1, 3)) == (4.0, 3.0, None)


def test_small_words(tmp_path):
    assert [clock(s) for s in (0.4, 59.6, 3723)] == ["0:00", "1:00", "1:02:03"]
    assert _failing_line("Cell \x1b[32mIn[3]\x1b[39m, line 7\n  5 x\n----> 7 y") == 7
    assert _failing_line("no line here") is None
    run = Run(2, tmp_path / "log")
    run.current = {"outputs": [{"output_type": "stream", "text": "step 1\rstep 2\r  \n"}]}
    assert run.last_line() == "step 2"


def test_a_terminal_sees_a_bar(kit):
    from rich.console import Console

    from dbeta_lib.workflow.progress import Progress

    kit.out.mkdir()
    with open(kit.out / "screen", "w", encoding="utf-8") as screen:
        able = {"TERM": "xterm"}  # whatever the tests run in
        console = Console(file=screen, force_terminal=True, width=100, _environ=able)
        progress = Progress(1, console)
        progress.start("00_first", Expected(60.0, (5.0, 55.0)))
        run = Run(
            2,
            kit.out / "log",
            done=1,
            current={"outputs": [{"output_type": "stream", "text": "[x]"}]},
        )
        progress.tick(run)
        progress.end("finished in 1:00")
    shown = Path(kit.out / "screen").read_text(encoding="utf-8")
    assert "cell 2/2 0:00, expected 0:55" in shown and "[x]" in shown
    assert "[1/1] 00_first: finished in 1:00" in shown
