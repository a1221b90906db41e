"""What is offered: complete, consistent, and the pinned hashes are those of the real files."""

import gzip
import hashlib
from pathlib import Path

import pytest

from dbeta_lib.download.catalogue import CATALOGUE, find
from dbeta_lib.download.listing import safe_path
from dbeta_lib.errors import UsageError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.parametrize("dataset", CATALOGUE.values(), ids=CATALOGUE)
def test_every_entry_says_where_what_and_how_to_cite(dataset):
    assert dataset.page.startswith("http") and dataset.base.endswith("/")
    assert dataset.title and dataset.licence and dataset.citation and dataset.bytes > 10**6
    assert all(safe_path(remote.path) == remote.path for remote in dataset.files)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ptb-xl'"):
        find("ptbxl")


def test_one_rate_of_ptb_xl_is_chosen_with_tables_and_licence():
    ptb_xl = find("ptb-xl")
    paths = ["ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt", "RECORDS", "example.py",
             "records100/00000/00001_lr.hea", "records500/00000/00001_hr.dat"]  # fmt: skip
    common = paths[:4]
    assert [p for p in paths if ptb_xl.chosen(p, 100)] == [*common, paths[5]]
    assert [p for p in paths if ptb_xl.chosen(p, 500)] == [*common, paths[6]]
    assert [p for p in paths if ptb_xl.chosen(p)] == [*common, *paths[5:]]
    assert ptb_xl.size(100) < ptb_xl.size(500) < ptb_xl.size()


def test_a_rate_that_is_not_offered_is_wrong_use():
    with pytest.raises(UsageError, match="give 100 or 500"):
        find("ptb-xl").check_rate(250)
    with pytest.raises(UsageError, match="leave the rate away"):
        find("csn").check_rate(500)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
def test_merls_pinned_hashes_are_those_of_the_published_test_splits():
    pinned = {remote.path: remote for remote in find("merl-splits").files}
    assert len(pinned) == 18
    held = sorted((SHARED / "merl_splits/full_test").rglob("*.csv.gz"))
    for file in held:
        content = gzip.decompress(file.read_bytes())
        path = file.relative_to(SHARED / "merl_splits/full_test").as_posix().removesuffix(".gz")
        assert pinned[path].sha256 == hashlib.sha256(content).hexdigest()
        assert pinned[path].bytes == len(content)
    assert len(held) == 6
