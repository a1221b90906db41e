"""One file arrives whole and right, whatever the server does."""

import hashlib
import os
import random
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from dbeta_lib.download import fetch
from dbeta_lib.download.fetch import Fetcher, Interrupted
from dbeta_lib.errors import DBetaError

BODY = random.Random(1).randbytes(600_000)
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def get(server, pauses, tmp_path):
    """`get(*faults, **options)` fetches BODY as tmp_path/a with these faults in turn."""
    server.files["a"] = BODY
    gained = []

    def run(*faults, sha256=SHA, stop=None, **options):
        server.faults["a"] = list(faults)
        fetcher = Fetcher(stop or threading.Event(), gained.append, pauses.append, **options)
        return fetcher.get(server.base + "a", tmp_path / "a", sha256)

    run.gained = gained
    return run


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_and_nothing_is_left_beside_it(get, tmp_path):
    assert get() == SHA
    assert (tmp_path / "a").read_bytes() == BODY and left(tmp_path) == ["a"]
    assert sum(get.gained) == len(BODY)


@pytest.mark.parametrize("sha256", [SHA, None])
def test_a_cut_connection_is_resumed_where_it_broke(get, server, tmp_path, sha256):
    assert get("cut", "cut", sha256=sha256) == SHA
    assert (tmp_path / "a").read_bytes() == BODY and left(tmp_path) == ["a"]
    whole, second, third = server.gets("a")
    assert whole == "" and 0 < int(second[6:-1]) < int(third[6:-1]) < len(BODY)
    assert sum(get.gained) == len(BODY)


def test_a_part_of_an_earlier_run_is_hashed_and_resumed(get, server, tmp_path):
    (tmp_path / "a.part").write_bytes(BODY[:400_000])
    assert get() == SHA
    assert server.gets("a") == ["bytes=400000-"]
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_damaged_part_costs_one_more_fetch_from_the_begin(get, server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"x" * 400_000)
    assert get() == SHA
    assert server.gets("a") == ["bytes=400000-", ""]


@pytest.mark.parametrize(
    "size, asked", [(600_000, ["bytes=600000-"]), (700_000, ["bytes=700000-", ""])]
)
def test_a_part_as_long_as_the_file_or_longer(get, server, tmp_path, size, asked):
    (tmp_path / "a.part").write_bytes((BODY + bytes(100_000))[:size])
    assert get() == SHA
    assert server.gets("a") == asked


def test_without_a_hash_a_part_is_resumed_only_with_the_servers_tag(get, server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"x" * 400_000)  # of nobody knows what
    assert get(sha256=None) == SHA
    assert server.gets("a") == [""]


def test_the_tag_outlives_the_run_and_a_new_version_is_fetched_whole(get, server, tmp_path):
    with pytest.raises(DBetaError, match="404"):
        get("cut", 404, sha256=None)
    assert left(tmp_path) == ["a.part", "a.part.tag"]
    server.files["a"] = newer = os.urandom(600_000)
    Fetcher().get(server.base + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == newer and left(tmp_path) == ["a"]
    assert server.gets("a")[-1].startswith("bytes=")  # asked, with If-Range, and got the whole


@pytest.mark.parametrize("fault", ["no range", "other range", "new tag"])
def test_a_server_that_does_not_resume_as_asked_means_from_the_begin(get, tmp_path, fault):
    assert get("cut", fault) == SHA
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize("fault", ["short", "long", "chunked", "wrong byte"])
def test_lies_about_the_length_and_a_wrong_byte_are_found(get, tmp_path, fault):
    assert get(fault) == SHA
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_hash_wrong_twice_is_an_error_and_no_file(get, server, tmp_path):
    with pytest.raises(DBetaError, match=r"/data/a came twice with another content"):
        get("wrong byte", "wrong byte")
    assert server.gets("a") == ["", ""] and left(tmp_path) == []


@pytest.mark.parametrize("status", [500, 503, 429, 502])
def test_passing_errors_are_tried_again_with_growing_pauses(get, pauses, status):
    assert get(status, status, status) == SHA
    assert pauses == [1, 2, 4]


def test_no_new_byte_in_six_tries_ends_it_and_keeps_the_part(get, server, pauses, tmp_path):
    with pytest.raises(DBetaError, match=r"/data/a failed 6 times in a row \(HTTP 500\)"):
        get("cut", *[500] * 6)
    assert len(server.gets("a")) == 6 and len(pauses) == 5
    assert "a.part" in left(tmp_path)


def test_a_connection_cut_more_often_than_that_comes_to_an_end_while_it_grows(get, server):
    assert get(*["cut"] * 3, 500, *["cut"] * 3, 500) == SHA
    assert len(server.gets("a")) == 9


@pytest.mark.parametrize("seconds, waited", [(7, 7), (100_000, fetch.LONGEST_WAIT), (0, None)])
def test_retry_after_in_seconds_is_obeyed_within_reason(get, pauses, seconds, waited):
    assert get((429, {"Retry-After": str(seconds)})) == SHA
    assert pauses == ([waited] if waited else [])


def test_retry_after_as_a_date_is_obeyed(get, pauses):
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=90))
    assert get((503, {"Retry-After": when})) == SHA
    assert 80 < pauses[0] <= 90


def test_nonsense_in_retry_after_is_a_usual_pause(get, pauses):
    assert get((503, {"Retry-After": "soon"})) == SHA
    assert pauses == [1]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_not_tried_again(get, server, status):
    with pytest.raises(DBetaError, match=f"HTTP {status}"):
        get(status)
    assert len(server.gets("a")) == 1


@pytest.mark.parametrize(
    "fault, message", [(None, "announces 600000 bytes"), ("chunked", "does not end after")]
)
def test_an_endless_file_is_stopped(get, fault, message):
    with pytest.raises(DBetaError, match=message):
        get(fault, max_bytes=100_000)


def test_stop_leaves_a_part_that_the_next_run_resumes(get, server, tmp_path):
    stop = threading.Event()
    seen = []
    fetcher = Fetcher(stop, lambda n: (seen.append(n), stop.set() if sum(seen) > 1e5 else None))
    with pytest.raises(Interrupted):
        fetcher.get(server.base + "a", tmp_path / "a", SHA)
    size = (tmp_path / "a.part").stat().st_size
    assert 0 < size < len(BODY)
    assert get() == SHA and server.gets("a")[-1] == f"bytes={size}-"


def test_a_link_in_the_parts_place_is_not_written_through(get, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "a.part").symlink_to(outside)
    with pytest.raises(DBetaError, match=r"a\.part is a link"):
        get()
    assert outside.read_text() == "mine"


def test_nobody_answering_is_said_in_a_sentence(pauses, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetcher = Fetcher(sleep=pauses.append, timeout=(1, 1))
    with pytest.raises(DBetaError, match=r"127\.0\.0\.1:9/a failed 6 times .*no connection"):
        fetcher.get("http://127.0.0.1:9/a", tmp_path / "a", SHA)
    assert pauses == [1, 2, 4, 8, 16] and left(tmp_path) == []


def test_an_empty_file_is_a_file(server, tmp_path):
    server.files["a"] = b""
    Fetcher().get(server.base + "a", tmp_path / "a", hashlib.sha256(b"").hexdigest())
    assert (tmp_path / "a").read_bytes() == b""
