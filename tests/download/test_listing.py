"""Lists of hashes are read as sha256sum writes them, and no path in them leaves the folder."""

import hashlib
import subprocess
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.download.listing import folders, inside, parse_sums, read_sums, safe_path
from dbeta_lib.errors import DBetaError

HASH = hashlib.sha256(b"x").hexdigest()


def test_reads_what_sha256sum_writes(tmp_path):
    for name in ("a.dat", "sub/b c.hea", "sub/deep/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    done = subprocess.run(
        ["sha256sum", "a.dat", "./sub/b c.hea", "sub/deep/d"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = parse_sums(done.stdout.splitlines(), "SUMS")
    assert list(found) == ["a.dat", "sub/b c.hea", "sub/deep/d"]
    for name, sha256 in found.items():
        assert sha256 == hashlib.sha256(name.encode()).hexdigest()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../a", "a/../../b", "a//b", "a/./b", "..", ".", "a/", "C:\\x", "C:/x",
        "a\\..\\b", "a\x00b", "a\nb", "\u202ea", "x" * 300, "a/" * 30 + "b", "a.dat.part", "",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_folder_or_is_absurd_is_refused(path):
    with pytest.raises(ValueError, match=r"path|name"):
        safe_path(path)


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["..", ".", "a", "", "/", "\\"])).map("/".join)
)
def test_whatever_is_accepted_stays_below(text):
    try:
        path = safe_path(text)
    except ValueError:
        return
    whole = (Path("/data/dest") / path).resolve()
    assert whole.is_relative_to("/data/dest") and whole != Path("/data/dest")


@given(st.text(alphabet=f"{HASH[:6]} */.\\\n\r\tabc", max_size=300))
def test_any_text_is_a_list_or_one_sentence(text):
    try:
        found = parse_sums(text.splitlines(), "SUMS")
    except DBetaError as error:
        assert str(error).startswith("SUMS")
    else:
        assert all(len(sha256) == 64 and safe_path(path) == path for path, sha256 in found.items())


@pytest.mark.parametrize(
    "lines, message",
    [
        ([f"{HASH}  a", "nothing"], "line 2: no 'sha256  path'"),
        ([f"{HASH}  ../a"], r"line 1: a path with '\.\.'"),
        ([f"{HASH}  a", f"{'0' * 64}  a"], "line 2: a second hash of a"),
        ([f"{HASH}  a/b", f"{HASH}  a"], "a as a file and as a folder"),
    ],
)
def test_a_bad_list_is_one_sentence_with_the_line(lines, message):
    with pytest.raises(DBetaError, match=message):
        parse_sums(lines, "SUMS")


def test_a_list_that_is_no_text_names_the_file(tmp_path):
    (tmp_path / "SUMS").write_bytes(b"\xff\xfe" * 50)
    with pytest.raises(DBetaError, match="SUMS is damaged"):
        read_sums(tmp_path / "SUMS")


def test_a_link_on_the_way_is_refused(tmp_path):
    (tmp_path / "dest").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "dest" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DBetaError, match="sub is a link"):
        inside(tmp_path / "dest", "sub/a.dat")


@given(st.lists(st.sampled_from(["a", "a/b", "a/b/c", "d/e", "f"])))
def test_folders_are_all_parents(paths):
    expected = {p.as_posix() for path in paths for p in PurePosixPath(path).parents} - {"."}
    assert folders(paths) == expected
