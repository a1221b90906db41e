"""Which code computed: the commit of the checkout, and what is said where there is none."""

import subprocess

from dbeta_lib import code_commit


def test_the_commit_is_that_of_the_checkout_and_changed_files_are_said(tmp_path):
    package = tmp_path / "library"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert code_commit.commit(package) == "not known"

    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", str(tmp_path), *name, *words], capture_output=True,
                              text=True, check=True)  # fmt: skip
        return done.stdout.strip()

    git("init")
    assert code_commit.commit(package) == "not known", "somebody's repository that has it not"
    git("add", ".")
    git("commit", "-m", "first")
    assert code_commit.commit(package) == git("rev-parse", "HEAD")
    (package / "__init__.py").write_text("changed = 1\n")
    assert code_commit.commit(package) == git("rev-parse", "HEAD") + ", with changed files"


def test_without_git_the_commit_is_not_known(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert code_commit.commit() == "not known"


def test_a_process_names_the_commit_that_it_first_found(monkeypatch):
    code_commit.running_commit.cache_clear()
    first = code_commit.running_commit()
    monkeypatch.setattr(code_commit, "commit", lambda: "a later one")
    assert code_commit.running_commit() == first
