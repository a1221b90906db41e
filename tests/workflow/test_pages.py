"""Pages of executed notebooks: links, formulas and progress bars as a reader needs them."""

import re

import nbformat
import pytest

from dbeta_lib.command_line import ROOT
from dbeta_lib.workflow.pages import write_html

FOLDER = ROOT / "notebooks"


def links_of(page):
    return re.findall(r'href="([^"]+)"', page.read_text(encoding="utf-8"))


@pytest.fixture
def page_of(tmp_path):
    def make(text: str):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        nbformat.write(notebook, tmp_path / "a.ipynb")
        write_html(tmp_path / "a.ipynb", tmp_path / "html" / "a.html", FOLDER)
        return tmp_path / "html" / "a.html"

    return make


def test_a_link_to_a_file_leads_from_the_page_to_that_file(page_of):
    page = page_of("[AUC](glossary.md#auc), [its code](../dbeta_lib/evaluation/metrics.py)")
    glossary, code = (link for link in links_of(page) if "glossary" in link or "metrics" in link)
    glossary, term = glossary.split("#")
    assert term == "auc"
    assert (page.parent / glossary).resolve() == FOLDER / "glossary.md"
    assert (page.parent / code).resolve() == ROOT / "dbeta_lib" / "evaluation" / "metrics.py"


def test_a_link_to_a_notebook_leads_to_its_page_and_others_stay(page_of):
    found = links_of(page_of("[next](01_data_preparation.ipynb), [x](https://a.b/c.md#d), [y](#z)"))
    assert "01_data_preparation.html" in found and "https://a.b/c.md#d" in found and "#z" in found


FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)


def test_every_formula_of_the_notebooks_is_drawn_without_a_network(page_of):
    cells = [
        cell.source
        for path in sorted(FOLDER.rglob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
    ]
    formulas = sum(len(FORMULA.findall(re.sub("`[^`]*`", "", text))) for text in cells)
    drawn = page_of("\n\n".join(cells)).read_text(encoding="utf-8")
    assert drawn.count("<math ") == formulas > 50


def test_a_formula_that_cannot_be_converted_stays_as_it_was_written(page_of):
    page = page_of(r"$a_b_c$, $\color$ and $\ln x$").read_text(encoding="utf-8")
    assert "$a_b_c$" in page and r"$\color$" in page
    assert re.search(r"<mi>ln</mi><mspace [^>]*>(</mspace>)?<mi>x</mi>", page)


def test_of_a_progress_bar_the_page_shows_the_last_state_alone(tmp_path):
    bar = [
        nbformat.v4.new_output("stream", name="stderr", text=f"\rtraining: {share}%")
        for share in (10, 55, 100)
    ]
    told = nbformat.v4.new_output("stream", name="stdout", text="done\n")
    cell = nbformat.v4.new_code_cell("train()", outputs=[*bar, told])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    write_html(tmp_path / "a.ipynb", tmp_path / "a.html", FOLDER)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("training: ") == page.count("training: 100%") == 1 and "done" in page
