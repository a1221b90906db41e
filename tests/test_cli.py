"""The `dbeta` command: one sentence per error, exit codes, and the doctor's findings."""

import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dbeta_lib import cli, doctor
from dbeta_lib.errors import DBetaError, Stopped, UsageError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["doctr"], "doctor"),
        (["doctor", "--nosuch"], "No such option"),
        (["doctor", "a", "b"], "unexpected extra argument"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(arguments, said, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("dbeta: ") and said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DBetaError("a.csv is damaged; make it again"), 1, "a.csv is damaged; make it again"),
        (UsageError("no lead 'X'"), 2, "no lead 'X'"),
        (Stopped("checkpoint 12 is written"), 75, "checkpoint 12 is written"),
        (FileNotFoundError(2, "No such file", "b.csv"), 1, "b.csv: No such file"),
        (KeyError("x"), 1, "KeyError: 'x'; --debug shows where"),
        (typer.Abort(), 130, "stopped"),
    ],
)
def test_an_error_is_one_sentence_and_debug_adds_the_traceback(
    error, code, said, monkeypatch, capsys
):
    def fail(folder: Path) -> list:
        raise error

    monkeypatch.setattr(doctor, "examine", fail)
    assert cli.main(["doctor"]) == code
    printed = capsys.readouterr()
    assert printed.err == f"dbeta: {said}\n" or printed.err.startswith(f"dbeta: {said};")
    assert printed.err.count("\n") == 1
    for arguments in (["--debug", "doctor"], ["doctor", "--debug"]):
        assert cli.main(arguments) == code
        assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130(monkeypatch):
    def interrupted(folder: Path) -> list:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "examine", interrupted)
    assert cli.main(["doctor"]) == 130


def test_every_command_has_a_help_with_an_example(capsys):
    assert cli.main([]) == 0
    assert "--debug" in capsys.readouterr().out
    for command in cli.app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert cli.main([name, "--help"]) == 0
        assert f"Example: dbeta {name}" in capsys.readouterr().out


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from dbeta_lib.cli import main; main(['--help']); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_the_doctor_reports_without_a_network(monkeypatch, capsys, tmp_path):
    def refuse(*_: object) -> None:
        raise AssertionError("the doctor must not call the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    version = importlib.metadata.version("numpy")
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy>=2", "x; extra=='a'"])
    assert cli.main(["doctor", "--disk", str(tmp_path / "not" / "yet")]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line[2:].split()[0]: line for line in lines}
    assert f"  numpy              {version}" in lines
    assert {"python", "device", "threads", "memory", "disk", "faiss", "hub"} <= found.keys()
    assert f"GiB free at {tmp_path}" in found["disk"]


def test_a_missing_or_old_package_is_named_and_is_code_1(monkeypatch, capsys):
    wanted = ["numpy>=999", "no-such-package>=1", "pandas>=1"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert "needed: >=999" in printed.out and "not installed, needed: >=1" in printed.out
    assert "numpy, no-such-package; ./run_all.sh installs it" in printed.err
