"""The certificate: self-contained, honest about what was not run, safe with names from outside."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.results import Provenance, Result
from dbeta_lib.reporting import certificate

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SHOT = Result(
    encoder="<script>alert(1)</script>", data="ptb-xl", store_fingerprint="0123456789abcdef" * 4,
    task="form", protocol="zero-shot", metric="macro_auc", value=0.55, low=0.0, high=1.0, n=880,
    variant="name en", profile="ptbxl", provenance=Provenance(("mimic-iv-ecg abc",)),
    versions={"dbeta": "9.9.9", "torch": "8.8"}, date="2001-02-03",
)  # fmt: skip
DEMO = replace(
    SHOT, encoder="demo-model", data="synthetic", task="conditions", profile="demo",
    provenance=Provenance(("synthetic abc",)),
)  # fmt: skip


@pytest.fixture
def page(tmp_path):
    for record in (SHOT, DEMO):
        record.save(tmp_path / "results")
    path = certificate.write(tmp_path / "results", tmp_path / "out" / "certificate.html")
    return path.read_text(encoding="utf-8")


def section(page, title):
    return re.search(rf"<section><h2>{title}.*?</section>", page, re.DOTALL)[0]


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(page):
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")


def test_it_names_versions_and_checksums_of_the_records(page):
    assert SHOT.store_fingerprint in section(page, "Data")
    assert "dbeta 9.9.9, torch 8.8" in section(page, "Versions of the records")
    assert "2001-02-03" in page


def test_it_says_where_our_interval_lies_and_that_the_paper_prints_none(page):
    beside = section(page, "The paper beside ours")
    assert "ours contains it" in beside and "55.00 [0.00, 100.00]" in beside
    said = section(page, "What it says")
    assert "Ours out-of-domain" in said and "ours contains it: 1" in said
    assert "prints no intervals" in said


def test_it_lists_what_was_not_run_with_what_it_takes(page):
    absent = section(page, "Not run")
    assert "dbeta probe MODEL STORE --task rhythm" in absent
    assert "dbeta zero-shot MODEL STORE --task super" in absent
    assert "dbeta zero-shot MODEL STORE --task form" not in absent


def test_demo_results_stand_in_their_own_section_only(page):
    demo = section(page, "Demo results")
    assert "demo-model" in demo and page.count("demo-model") == demo.count("demo-model")


def test_without_a_parity_file_it_says_not_checked(page):
    assert "Not checked" in section(page, "Parity") and 'class="good"' not in page


def test_a_folder_without_results_still_gives_a_page_that_says_so(tmp_path):
    (tmp_path / "none").mkdir()
    page = certificate.write(tmp_path / "none", tmp_path / "c.html").read_text(encoding="utf-8")
    assert "No result of a pre-trained encoder" in page and "No records." in page
    with pytest.raises(DBetaError, match="is not there"):
        certificate.write(tmp_path / "absent", tmp_path / "c.html")


def test_parity_of_a_folder_is_checked_and_the_file_named_by_its_hash(tmp_path):
    (tmp_path / "none").mkdir()
    path = certificate.write(tmp_path / "none", tmp_path / "c.html", parity=FIXTURES)
    told = section(path.read_text(encoding="utf-8"), "Parity")
    assert "all agree" in told and 'class="good"' in told
    assert re.search(r"parity_a\.npz SHA-256 [0-9a-f]{64}", told)
    assert "frontend" not in told, "that file holds intermediates only"


def test_a_difference_to_the_official_network_is_shown_as_bad(tmp_path):
    with np.load(FIXTURES / "parity_a.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["out/m/etm_logits"] = arrays["out/m/etm_logits"] + np.float32(1e-3)
    np.savez(tmp_path / "changed.npz", **arrays)
    table = certificate.parity_table(tmp_path / "changed.npz").set_index("output")
    assert table.index[~table["ok"]].tolist() == ["out/m/etm_logits"]
    told = certificate._parity(tmp_path / "changed.npz")
    assert 'class="bad"' in told and "1 differ" in told


def test_a_folder_without_a_parity_file_is_told(tmp_path):
    with pytest.raises(DBetaError, match="no parity file"):
        certificate.parity_table(tmp_path)


def test_records_of_other_commits_than_the_pages_are_counted_and_named(tmp_path):
    def told(*commits):
        folder = tmp_path / "-".join(commits or ["none"])
        for number, commit in enumerate(commits):
            replace(SHOT, encoder=f"e{number}", commit=commit).save(folder)
        page = certificate.write(folder, tmp_path / "c.html").read_text(encoding="utf-8")
        return section(page, "Versions of the records")

    here = certificate.running_commit()
    same = told(here, here)
    assert f"All records were computed by the commit {here}." in same and "written by" not in same
    mixed = told("abc", "abc", here)
    assert f"by 2 different commits; this page was written by {here}." in mixed
    assert re.search(r">abc</td>.*?>2</td>", mixed)
    old = told("abc", "")
    assert "1 records were computed by the commit abc; 1 of 2 records do not name theirs" in old
    assert f"this page was written by {here}" in old and ">not named<" in old
    assert "1 of 1 records do not name theirs." in told("")


def test_further_folders_stand_on_the_page_with_their_names(tmp_path):
    SHOT.save(tmp_path / "mine" / "results")
    replace(SHOT, encoder="kept-model", task="super").save(tmp_path / "kept")
    replace(SHOT, value=0.56).save(tmp_path / "kept")
    path = certificate.write(
        tmp_path / "mine" / "results", tmp_path / "c.html", more=[tmp_path / "kept"]
    )
    page = path.read_text(encoding="utf-8")
    assert "results in mine, kept ·" in page and "3 result records; 3 of them" in page
    assert "kept-model" in section(page, "The paper beside ours") and "kept in kept" in page
