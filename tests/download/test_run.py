"""A dataset arrives whole, goes on where it was left, and says in one sentence what failed."""

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from dbeta_lib.download import catalogue, run
from dbeta_lib.download.run import download
from dbeta_lib.errors import DBetaError, UsageError

ROOT = Path(__file__).resolve().parents[2]
RECORDS = {
    f"records{rate}/00000/0000{i}_{rate}{suffix}": os.urandom(size)
    for rate in (100, 500)
    for i in range(1, 7)
    for suffix, size in ((".hea", 300), (".dat", rate * 240))
}
TABLES = {"ptbxl_database.csv": b"ecg_id\n", "scp_statements.csv": b"x\n", "LICENSE.txt": b"CC BY",
          "RECORDS": b"r\n", "example_physionet.py": b"1"}  # fmt: skip


@pytest.fixture
def ptb_xl(server):
    server.publish({**TABLES, **RECORDS})
    return server


@pytest.fixture
def get(server, pauses, tmp_path):
    """`get(name, **options)` downloads into tmp_path/dest from the loopback server."""

    def run(name="ptb-xl", **options):
        options = {"base": server.base, "progress": False, "sleep": pauses.append} | options
        return download(name, tmp_path / "dest", **options)

    return run


def below(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def gets(server):
    return [path for method, path, _ in server.log if method == "GET"]


@pytest.mark.parametrize("workers", [1, 4])
def test_one_rate_with_tables_arrives_byte_for_byte(ptb_xl, get, tmp_path, workers):
    found = get(hz=100, workers=workers)
    files = below(tmp_path / "dest")
    wanted = {p: b for p, b in RECORDS.items() if p.startswith("records100/")}
    wanted |= {p: b for p, b in TABLES.items() if not p.endswith(".py")}
    assert files.pop("SHA256SUMS.txt") == ptb_xl.files["SHA256SUMS.txt"]
    assert files == wanted
    assert (found.right, found.fetched) == (len(wanted), len(wanted))
    assert found.bytes == sum(map(len, wanted.values()))


def test_page_size_licence_and_citation_are_printed_first(ptb_xl, get, capsys):
    ptb_xl.on_get = lambda path: print("GET")
    get(hz=100)
    said = capsys.readouterr().out
    assert said.index("https://physionet.org/content/ptb-xl/1.0.3/") < said.index("GET")
    for words in ("about 600 MB", "CC BY 4.0", "Wagner"):
        assert words in said[: said.index("GET")]


def test_finished_files_are_not_fetched_again_damaged_and_lost_ones_are(ptb_xl, get, tmp_path):
    get()
    ptb_xl.log.clear()
    assert get().fetched == 0 and gets(ptb_xl) == []
    lost, damaged = "records100/00000/00001_100.dat", "records500/00000/00002_500.dat"
    (tmp_path / "dest" / lost).unlink()
    *most, last = RECORDS[damaged]
    (tmp_path / "dest" / damaged).write_bytes(bytes([*most, last ^ 1]))
    assert get().fetched == 2
    assert sorted(gets(ptb_xl)) == [lost, damaged]
    assert below(tmp_path / "dest")[damaged] == RECORDS[damaged]


def test_every_fault_at_once_still_gives_every_byte(ptb_xl, get, tmp_path):
    faults = ["cut", 429, 500, "wrong byte", "short", "long", "chunked", 503]
    for path, fault in zip(RECORDS, faults * 9):
        ptb_xl.faults[path] = [fault, "no range"]
    ptb_xl.faults["SHA256SUMS.txt"] = ["cut", 500]
    get()
    files = below(tmp_path / "dest")
    assert all(files[path] == body for path, body in RECORDS.items())
    assert not [path for path in files if ".part" in path]


def test_the_bar_ends_at_the_bytes_that_were_fetched_whatever_was_fetched_twice(
    ptb_xl, get, monkeypatch
):
    bars = []
    real = run.tqdm
    monkeypatch.setattr(run, "tqdm", lambda **o: bars.append(real(**o)) or bars[-1])
    for path in sorted(RECORDS)[::3]:
        ptb_xl.faults[path] = ["wrong byte", "cut", "no range"]
    found = get(hz=500, progress=True)
    assert bars[0].n == found.bytes == pytest.approx(bars[0].total)


def test_failed_files_are_counted_the_others_arrive_and_the_next_run_fetches_only_them(
    ptb_xl, get, tmp_path
):
    bad = sorted(RECORDS)[3:5]
    ptb_xl.faults[bad[0]] = ["wrong byte"] * 2
    ptb_xl.faults[bad[1]] = [404]
    with pytest.raises(DBetaError) as raised:
        get()
    said = str(raised.value)
    assert said.startswith(f"2 of 28 files of ptb-xl failed; the first is {bad[0]}: ")
    assert "another content than published" in said and "run the same command again" in said
    assert "\n" not in said and len(below(tmp_path / "dest")) == 26 + 1
    ptb_xl.log.clear()
    assert get().fetched == 2 and sorted(gets(ptb_xl)) == bad


def test_a_server_that_is_gone_is_given_up_after_some_files(ptb_xl, get, monkeypatch):
    monkeypatch.setattr(run, "GIVE_UP_AFTER", 3)
    for path in RECORDS:
        ptb_xl.faults[path] = [403]
    with pytest.raises(DBetaError, match=r"3 of 28 files .* the rest was not tried"):
        get(workers=1)
    assert len(gets(ptb_xl)) < 15


def test_a_list_that_cannot_be_had_names_it_and_the_page(server, get):
    with pytest.raises(DBetaError, match=r"SHA256SUMS.txt answers HTTP 404.*physionet.org/content"):
        get()


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "records100/../../outside"])
def test_a_path_that_leaves_the_folder_stops_everything(ptb_xl, get, tmp_path, path):
    ptb_xl.files["SHA256SUMS.txt"] += f"{'0' * 64} {path}\n".encode()
    with pytest.raises(DBetaError, match=r"SHA256SUMS.txt, line 30: "):
        get()
    assert list(below(tmp_path)) == ["dest/SHA256SUMS.txt"]


def test_a_changed_list_is_fetched_again(ptb_xl, get):
    get(hz=100)
    ptb_xl.publish({**TABLES, **RECORDS, "records100/00000/new.hea": b"new"})
    assert get(hz=100).fetched == 1


def test_links_below_the_folder_are_not_followed(ptb_xl, get, tmp_path):
    (tmp_path / "dest").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "dest/records100").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DBetaError, match="records100 is a link"):
        get(hz=100)
    assert below(tmp_path / "elsewhere") == {}


def test_a_disk_too_small_is_said_before_anything_but_the_list_is_fetched(ptb_xl, get, monkeypatch):
    usage = run.shutil.disk_usage("/")._replace(free=10**8)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DBetaError, match=r"100 MB free and ptb-xl needs 600 MB; free some space"):
        get(hz=100)
    assert gets(ptb_xl) == ["SHA256SUMS.txt"]


def test_the_sizes_of_a_table_are_added_up_for_the_disk(server, get, monkeypatch):
    usage = run.shutil.disk_usage("/")._replace(free=10**6)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DBetaError, match=r"merl-splits needs 11 MB"):
        get("merl-splits")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "ptbxl"}, "did you mean 'ptb-xl'"),
        ({"hz": 250}, "give 100 or 500"),
        ({"name": "csn", "hz": 500}, "leave the rate away"),
        ({"workers": 0}, "give 1 to 16"),
        ({"base": "file:///etc/"}, "no address to fetch from"),
        ({"name": "cpsc2018"}, "accept it"),
    ],
)
def test_wrong_use_is_said_before_anything_is_fetched_or_made(
    server, get, tmp_path, options, message
):
    with pytest.raises(UsageError, match=message):
        get(**options)
    assert server.log == [] and not (tmp_path / "dest").exists()


def test_two_downloads_into_one_folder_exclude_each_other(ptb_xl, get, tmp_path):
    (tmp_path / "dest").mkdir()
    with run._locked(tmp_path / "dest"), pytest.raises(DBetaError, match="another process"):
        get()


def archive(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return packed.getvalue()


def cpsc2018(server):
    server.files = {
        f"TrainingSet{i}.zip": archive({f"TrainingSet{i}/A000{i}.mat": os.urandom(5000)})
        for i in (1, 2, 3)
    }
    server.files["REFERENCE.csv"] = b"Recording,First_label\n"


def test_archives_are_unpacked_and_kept_hashes_recorded_where_none_is_published(
    server, get, tmp_path
):
    cpsc2018(server)
    found = get("cpsc2018", accept_licence=True)
    files = below(tmp_path / "dest")
    assert {f"TrainingSet{i}/A000{i}.mat" for i in (1, 2, 3)} < set(files)
    assert len(found.unchecked) == 4 and found.right == 0
    for line in files["downloaded.sha256"].decode().splitlines():
        sha256, path = line.split()
        assert hashlib.sha256(server.files[path]).hexdigest() == sha256
    server.log.clear()
    assert get("cpsc2018", accept_licence=True).fetched == 0 and gets(server) == []


def test_an_archive_that_would_leave_the_folder_is_refused(server, get, tmp_path):
    cpsc2018(server)
    server.files["TrainingSet2.zip"] = archive({"../../outside": b"x"})
    with pytest.raises(DBetaError, match=r"TrainingSet2\.zip is refused"):
        get("cpsc2018", accept_licence=True)
    assert not [p for p in below(tmp_path) if "outside" in p]


def test_a_pinned_table_refuses_another_file(server, get):
    for remote in catalogue.find("merl-splits").files:
        server.files[remote.path] = bytes(remote.bytes)
    with pytest.raises(
        DBetaError, match="18 of 18 files of merl-splits failed; the first is chapman"
    ):
        get("merl-splits")


def test_ctrl_c_leaves_parts_and_the_next_run_goes_on(ptb_xl, get, tmp_path):
    big = "records500/00000/00001_500.dat"
    slow = threading.Event()
    ptb_xl.publish({**TABLES, big: os.urandom(30_000_000)})
    ptb_xl.on_get = lambda path: slow.set() if path == big else None
    code = (  # a shell in the background hands SIGINT on as ignored
        "import signal; from dbeta_lib.download import download\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dbeta_lib.download.fetch import _Part\n"
        "import time; write = _Part.write\n"
        "_Part.write = lambda self, chunk: (write(self, chunk), time.sleep(0.02))\n"
        f"download('ptb-xl', {str(tmp_path / 'dest')!r}, base={ptb_xl.base!r}, progress=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE)
    assert slow.wait(20)
    part = tmp_path / "dest" / (big + ".part")
    deadline = time.monotonic() + 10
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(2)
    _, said = child.communicate(timeout=20)
    assert child.returncode != 0 and b"KeyboardInterrupt" in said
    size = part.stat().st_size
    assert 0 < size < 30_000_000
    get()
    assert ptb_xl.gets(big)[-1] == f"bytes={size}-"
    assert below(tmp_path / "dest")[big] == ptb_xl.files[big]
