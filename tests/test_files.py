"""Files are whole or not there; errors of the system are named or passed on as they are."""

import errno

import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.files import atomic_write


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
