"""Files are whole or not there; errors of the system are named or passed on as they are."""

import errno

import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.files import atomic_write, read_json


def test_a_full_disk_is_a_sentence_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with (
        pytest.raises(DBetaError, match=r"the disk is full: .*a\.json was not written"),
        atomic_write(path) as temporary,
    ):
        temporary.write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_failing_disk_is_passed_on_and_is_not_its_own_cause(tmp_path):
    failed = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output") as raised, atomic_write(tmp_path / "a"):
        raise failed
    assert raised.value is failed and failed.__cause__ is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1,', r"a\.json is damaged \(.*line 1 column 9.*\); mend it"),
        (b'{"a": "\xfc"}', r"a\.json is damaged \(.*utf-8.*\); mend it"),
        (b'{"b": {"a": 1, "a": 1}}', r"a\.json is damaged \('a' is given twice\); mend it"),
        (None, r"a\.json cannot be read \(Is a directory\); name a JSON file"),
    ],
)
def test_a_json_file_that_says_no_one_thing_is_a_sentence_with_its_remedy(tmp_path, content, said):
    path = tmp_path / "a.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(DBetaError, match=said):
        read_json(path, "mend it")
