"""What all widgets share: redrawing, sentences for errors, the static picture without a reader."""

import nbclient
import nbformat
import pytest

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.progress import AS_TEXT
from dbeta_lib.reporting.figures import new_chart
from dbeta_lib.reporting.widgets import shell
from dbeta_lib.reporting.widgets.front import Picture, Slider
from dbeta_lib.reporting.widgets.shell import Panel, Sentence, View, in_words

VIEW = "application/vnd.jupyter.widget-view+json"


def bar(height):
    chart = new_chart(60, 40)
    chart.subplots().bar([0], [height])
    return chart


def draw(height):
    if height == 3:
        raise UsageError("<b>three</b> is no height")
    if height == 4:
        raise ZeroDivisionError("division by zero")
    return View(((bar(height), f"a bar of {height:g}"),), f"<p>{height:g} high</p>")


@pytest.fixture
def panel():
    height = Slider("height", min=0, max=9, value=1)
    return Panel("A <bar>", draw, [{"height": height}])


def test_a_change_redraws_picture_description_and_text(panel, png):
    before = png(panel)
    panel.controls["height"].value = 2
    assert before.startswith(b"\x89PNG") and png(panel) != before
    assert panel.pictures[0].alt == "a bar of 2" and "2 high" in panel.view.text
    assert panel.said.value == ""


def test_the_kits_errors_are_said_as_they_are_and_escaped(panel, png):
    before = png(panel)
    panel.controls["height"].value = 3
    assert "&lt;b&gt;three&lt;/b&gt; is no height" in panel.said.value
    assert 'role="alert"' in panel.said.value and png(panel) == before
    panel.controls["height"].value = 5
    assert panel.said.value == ""


def test_any_other_error_is_a_sentence_too_and_never_a_traceback(panel):
    panel.controls["height"].value = 4
    assert "ZeroDivisionError: division by zero" in panel.said.value
    assert "Traceback" not in panel.said.value and "File" not in panel.said.value


def test_a_guarded_callback_has_its_sentence_and_an_interrupt_passes():
    said = Sentence()

    def fails(error):
        raise error

    said.guard(fails)(DBetaError("the file x is gone; make it again"))
    assert "the file x is gone; make it again" in said.value
    with pytest.raises(KeyboardInterrupt):
        said.guard(fails)(KeyboardInterrupt())


def test_several_changes_inside_one_block_are_drawn_once(panel):
    drawn = []
    panel.draw = lambda height: drawn.append(height) or draw(height)
    with panel.held():
        panel.controls["height"].value = 5
        panel.controls["height"].value = 6
    assert drawn == [6]


def test_a_widget_that_cannot_be_made_says_why_in_its_place():
    @in_words
    def some_widget():
        raise DBetaError("the store <x> is empty; prepare it")

    panel = some_widget()
    assert isinstance(panel, Panel) and "the store &lt;x&gt; is empty" in panel.said.value


def test_a_wrong_call_is_an_exception_as_everywhere():
    with pytest.raises(TypeError):
        in_words(lambda: None)(1)


def test_controls_are_in_the_order_of_the_rows_and_the_title_is_escaped(panel):
    head, row, said, shown = panel.children
    assert "A &lt;bar&gt;" in head.value and 'role="heading"' in head.value
    assert row.children == (panel.controls["height"],)
    assert said is panel.said and panel.pictures[0] in shown.children


@pytest.fixture
def outputs(monkeypatch):
    """`outputs(panel)` -> the data of everything that showing a panel puts out."""
    published = []
    keep = lambda data, metadata=None: published.append(data)  # noqa: E731
    monkeypatch.setattr(shell, "publish_display_data", keep)

    def show(panel):
        published.clear()
        panel._ipython_display_()
        return list(published)

    return show


def test_without_a_reader_the_pictures_and_the_text_are_shown(panel, outputs):
    picture, text = outputs(panel)
    assert set(picture) == {"image/png", "text/plain"} and picture["text/plain"] == "a bar of 1"
    assert "1 high" in text["text/html"]
    panel.controls["height"].value = 3
    assert "is no height" in outputs(panel)[1]["text/html"]


def test_before_a_reader_the_live_widget_is_shown_with_its_first_picture(
    panel, outputs, monkeypatch
):
    monkeypatch.setattr(shell, "is_watched", lambda: True)
    (shown,) = outputs(panel)
    assert shown[VIEW]["model_id"] == panel.model_id and "image/png" in shown


@pytest.mark.parametrize(("input_allowed", "text", "watched"), [
    (True, "", True), (False, "", False), (True, "1", False), (None, "", False),
])  # fmt: skip
def test_who_watches_is_told_by_the_kernel_or_the_environment(
    monkeypatch, input_allowed, text, watched
):
    class Shell:
        kernel = type("Kernel", (), {"_allow_stdin": input_allowed})()

    monkeypatch.setattr(shell, "get_ipython", lambda: None if input_allowed is None else Shell())
    monkeypatch.setenv(AS_TEXT, text)
    assert shell.is_watched() is watched


def test_a_runner_that_tells_nothing_gets_the_static_picture(tmp_path, monkeypatch):
    """nbclient, which papermill and nbconvert run notebooks with, in a real kernel."""
    monkeypatch.delenv(AS_TEXT, raising=False)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(
        "from dbeta_lib.reporting.figures import new_chart\n"
        "from dbeta_lib.reporting.widgets.front import Slider\n"
        "from dbeta_lib.reporting.widgets.shell import Panel, View\n"
        "Panel('bar', lambda h: View(((new_chart(20, 20), 'nothing'),)), [{'h': Slider('h')}])"
    )]  # fmt: skip
    done = nbclient.execute(notebook, timeout=120, cwd=tmp_path)
    (output,) = done.cells[0].outputs
    assert set(output["data"]) == {"image/png", "text/plain"}


def test_a_slider_keeps_its_value_in_range_and_words_it():
    slider = Slider("share", "{:.0%}".format, min=0, max=1, step=0.1, value=0.5)
    assert (slider.readout, slider.description) == ("50%", "share")
    slider.value = 7
    assert slider.value == 1 and slider.readout == "100%"
    slider.max = 0.3
    assert slider.value == 0.3 and slider.readout == "30%"


def test_a_picture_tells_the_path_drawn_on_it():
    heard, picture = [], Picture(png=b"", alt="a map", selectable=True)
    picture.on_path(heard.append)
    picture._handle_custom_msg({"path": [[0.25, 1], [0, 0.5]]}, [])
    assert heard == [[(0.25, 1.0), (0.0, 0.5)]]


def test_front_end_files_travel_with_the_package():
    for part in (Slider, Picture):
        made = part(**({"description": "x"} if part is Slider else {}))
        assert "export default" in made._esm and ".dbeta-panel" in made._css
