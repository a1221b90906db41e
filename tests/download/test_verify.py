"""A copy made otherwise: what is missing, wrong or left out on purpose is told apart."""

import hashlib
import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from dbeta_lib.download import download, verify
from dbeta_lib.errors import DBetaError, UsageError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def write(folder, files):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def sums(files):
    return "".join(f"{hashlib.sha256(b).hexdigest()} {path}\n" for path, b in files.items())


FILES = {
    "ptbxl_database.csv": b"a", "scp_statements.csv": b"b", "LICENSE.txt": b"c", "example.py": b"d",
    **{f"records{hz}/0/{i}.dat": b"%d %d" % (hz, i) for hz in (100, 500) for i in range(5)},
}  # fmt: skip


@pytest.fixture
def copy(tmp_path):
    write(tmp_path, FILES)
    (tmp_path / "SHA256SUMS.txt").write_text(sums(FILES))
    return tmp_path


def check(folder, name="ptb-xl"):
    return verify(name, folder, progress=False)


def test_a_whole_copy_has_no_problem(copy):
    found = check(copy).check()
    assert found.right == len(FILES) and found.problem() == ""
    assert str(found) == f"{copy}: {len(FILES)} files as published"


def test_missing_wrong_and_extra_files_are_named(copy):
    (copy / "records100/0/1.dat").write_bytes(b"100 9")
    (copy / "records500/0/2.dat").unlink()
    (copy / "notes.txt").write_text("mine")
    found = check(copy)
    assert found.wrong == ("records100/0/1.dat",) and found.missing == ("records500/0/2.dat",)
    assert found.extra == ("notes.txt",) and found.right == len(FILES) - 2
    with pytest.raises(DBetaError, match=r"1 missing \(records500/0/2.dat\), 1 wrong \(records100"):
        found.check()


def test_one_rate_left_out_whole_and_files_the_kit_does_not_read_are_no_problem(copy):
    shutil.rmtree(copy / "records500")
    (copy / "example.py").unlink()
    found = check(copy).check()
    assert found.left_out == ("records500/",) and found.not_needed == ("example.py",)
    assert "1 left out whole: records500/" in str(found)


def test_no_rate_at_all_is_missing(copy):
    shutil.rmtree(copy / "records500")
    shutil.rmtree(copy / "records100")
    assert len(check(copy).missing) == 10


def test_a_table_is_needed(copy):
    (copy / "scp_statements.csv").unlink()
    assert check(copy).missing == ("scp_statements.csv",)


def test_sources_of_cinc2021_may_be_left_out_each(tmp_path):
    files = {f"training/{s}/g1/a.mat": s.encode() for s in ("ptb", "ptb-xl", "cpsc_2018",
             "cpsc_2018_extra")}  # fmt: skip
    write(tmp_path, {p: b for p, b in files.items() if "/cpsc_2018/" in p or "/ptb-xl/" in p})
    (tmp_path / "SHA256SUMS.txt").write_text(sums(files))
    found = check(tmp_path, "cinc2021").check()
    assert found.right == 2
    assert found.left_out == ("training/cpsc_2018_extra/", "training/ptb/")


def test_a_link_is_not_the_file(copy, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x"
    shutil.move(copy / "scp_statements.csv", elsewhere)
    (copy / "scp_statements.csv").symlink_to(elsewhere)
    assert check(copy).wrong == ("scp_statements.csv",)


def test_without_a_list_it_says_where_to_get_it(copy):
    (copy / "SHA256SUMS.txt").unlink()
    with pytest.raises(DBetaError, match=r"SHA256SUMS.txt is missing; get it from https://physio"):
        check(copy)


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        check(tmp_path / "nothing")


def test_larger_than_pinned_is_not_even_hashed(tmp_path):
    write(tmp_path, {"chapman/chapman_val.csv": bytes(234_682)})
    found = check(tmp_path, "merl-splits")
    assert found.too_large == ("chapman/chapman_val.csv",) and len(found.missing) == 17


def cpsc2018(server, tmp_path):
    for i in (1, 2, 3):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"TrainingSet{i}/A000{i}.mat", b"x" * 100 * i)
        server.files[f"TrainingSet{i}.zip"] = packed.getvalue()
    server.files["REFERENCE.csv"] = b"Recording\n"
    download("cpsc2018", tmp_path, base=server.base, accept_licence=True, progress=False)


def test_content_of_archives_is_compared_with_the_archives(server, tmp_path):
    cpsc2018(server, tmp_path)
    assert check(tmp_path, "cpsc2018").check().right == 7  # 3 archives, 3 records, 1 table
    (tmp_path / "TrainingSet2/A0002.mat").write_bytes(b"y" * 200)
    (tmp_path / "TrainingSet3/A0003.mat").unlink()
    (tmp_path / "REFERENCE.csv").write_text("other")
    found = check(tmp_path, "cpsc2018")
    assert found.wrong == ("REFERENCE.csv", "TrainingSet2/A0002.mat")
    assert found.missing == ("TrainingSet3/A0003.mat",)


def test_without_archives_their_content_counts_as_unchecked(server, tmp_path):
    cpsc2018(server, tmp_path)
    for i in (1, 2, 3):
        (tmp_path / f"TrainingSet{i}.zip").unlink()
    found = check(tmp_path, "cpsc2018").check()
    assert found.unchecked == ("TrainingSet1", "TrainingSet2", "TrainingSet3")
    assert found.extra == ()


@pytest.mark.skipif(not (SHARED / "ptb-xl").is_dir(), reason="../shared/data/ptb-xl is not there")
def test_real_records_are_verified_against_the_list_that_sha256sum_writes(tmp_path):
    real = SHARED / "ptb-xl"
    kept = [real / "ptbxl_database.csv", real / "scp_statements.csv", real / "LICENSE.txt"]
    kept += sorted(real.glob("records*/00000/*"))
    for file in kept:
        target = tmp_path / file.relative_to(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    names = [file.relative_to(real).as_posix() for file in kept]
    done = subprocess.run(
        ["sha256sum", *names], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (tmp_path / "SHA256SUMS.txt").write_text(done.stdout)
    assert check(tmp_path).check().right == len(names) > 300
    damaged = tmp_path / names[-1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert check(tmp_path).wrong == (names[-1],)
