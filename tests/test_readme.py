"""The README's numbers are those of the kept result records, and its files exist."""

import re
from pathlib import Path

import pytest

from dbeta_lib.reporting.readme import blocks, filled, render

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(blocks(README)))
def test_every_block_is_what_the_kept_records_give(name):
    made = render(name, ROOT / "benchmarks" / "results").strip()
    assert len(made.splitlines()) > 3
    assert blocks(README)[name].strip() == made


def test_there_are_blocks_for_the_demo_its_times_and_real_ecgs():
    assert {"demo", "times"} <= set(blocks(README))


def test_filling_changes_nothing_but_the_blocks():
    again = filled(README, ROOT / "benchmarks" / "results")
    assert again == README
    assert filled("no blocks here", ROOT) == "no blocks here"


def test_every_picture_and_local_link_leads_to_a_file():
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_the_table_of_data_sets_is_that_of_the_download_command():
    from dbeta_lib.download.catalogue import as_markdown

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.split("<!-- data sets: from the download command -->")[1].split(
        "<!-- data sets end -->"
    )[0]
    assert shown.strip() == as_markdown().strip()
