"""An archive is unpacked below its folder, or refused with one sentence."""

import stat
import zipfile

import pytest

from dbeta_lib.download import unpack as module
from dbeta_lib.download.unpack import compare, unpack
from dbeta_lib.errors import DBetaError


def pack(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.fixture
def place(tmp_path):
    (tmp_path / "dest").mkdir()
    return tmp_path / "dest"


def below(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


GOOD = [("data/", ""), ("data/a.csv", "1,2"), ("data/sub/b.bin", b"\0" * 5000), ("c", "3"),
        ("__MACOSX/data/._a.csv", "x"), ("data/.DS_Store", "x")]  # fmt: skip


def test_members_are_unpacked_without_their_leading_folder(tmp_path, place):
    file = pack(tmp_path / "a.zip", GOOD)
    assert unpack(file, place, strip="data", progress=False) == 3
    assert below(place) == {"a.csv": b"1,2", "sub/b.bin": b"\0" * 5000, "c": b"3"}


def test_what_is_there_and_right_is_not_written_again_the_rest_is(tmp_path, place):
    file = pack(tmp_path / "a.zip", GOOD)
    unpack(file, place, strip="data", progress=False)
    before = (place / "c").stat().st_mtime_ns
    (place / "a.csv").write_text("9,9")
    (place / "sub/b.bin").unlink()
    found = compare(file, place, "data", ())
    assert found == {"a.csv": "wrong", "sub/b.bin": "missing", "c": "right"}
    assert unpack(file, place, strip="data", progress=False) == 2
    assert (place / "a.csv").read_text() == "1,2" and (place / "c").stat().st_mtime_ns == before


def test_a_path_to_keep_is_not_overwritten(tmp_path, place):
    (place / "c").write_text("mine")
    unpack(pack(tmp_path / "a.zip", GOOD), place, keep={"c"}, progress=False)
    assert (place / "c").read_text() == "mine"


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "a\\..\\out", "x" * 300])
def test_a_member_that_leaves_the_folder_is_refused_before_anything_is_written(
    tmp_path, place, name
):
    file = pack(tmp_path / "a.zip", [("good", "1"), (name, "2")])
    with pytest.raises(DBetaError, match=r"a\.zip is refused: member .* nothing was unpacked"):
        unpack(file, place, progress=False)
    assert below(tmp_path) == {"a.zip": file.read_bytes()}


def test_a_member_below_a_stripped_folder_cannot_climb_either(tmp_path, place):
    file = pack(tmp_path / "a.zip", [("data/../../out", "2")])
    with pytest.raises(DBetaError, match="refused"):
        unpack(file, place, strip="data", progress=False)


def test_a_link_is_refused(tmp_path, place):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    file = pack(tmp_path / "a.zip", [(info, "/etc/passwd")])
    with pytest.raises(DBetaError, match="is a link"):
        unpack(file, place, progress=False)


def test_a_link_on_the_way_is_not_followed(tmp_path, place):
    (tmp_path / "elsewhere").mkdir()
    (place / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DBetaError, match="sub is a link"):
        unpack(pack(tmp_path / "a.zip", [("sub/a", "1")]), place, progress=False)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "members, message",
    [
        ([("a", "1"), ("a", "2")], "there twice"),
        ([("a", "1"), ("a/b", "2")], "a file and a folder"),
    ],
)
def test_members_in_each_others_way_are_refused(tmp_path, place, members, message):
    with pytest.raises(DBetaError, match=message):
        unpack(pack(tmp_path / "a.zip", members), place, progress=False)


def test_more_than_any_dataset_is_refused(tmp_path, place, monkeypatch):
    file = pack(tmp_path / "a.zip", [("a", b"\0" * 1000)])
    monkeypatch.setattr(module, "MAX_BYTES", 999)
    with pytest.raises(DBetaError, match="more than any dataset"):
        unpack(file, place, progress=False)


def test_more_than_the_disk_holds_is_said_before(tmp_path, place, monkeypatch):
    file = pack(tmp_path / "a.zip", [("a", b"\0" * 1000)])
    usage = module.shutil.disk_usage(place)._replace(free=999)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DBetaError, match=r"999 bytes free and a\.zip needs 1 kB to unpack"):
        unpack(file, place, progress=False)
    assert below(place) == {}


def test_every_truncation_and_damage_is_one_sentence(tmp_path, place):
    whole = pack(tmp_path / "whole.zip", [("a", bytes(range(256)) * 8)]).read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.zip").write_bytes(whole[:cut])
        with pytest.raises(DBetaError, match=r"a\.zip is damaged .* run the same command again"):
            unpack(tmp_path / "a.zip", place, progress=False)
    (tmp_path / "a.zip").write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    with pytest.raises(DBetaError, match=r"a\.zip is damaged"):
        unpack(tmp_path / "a.zip", place, progress=False)
    assert "a" not in below(place)
