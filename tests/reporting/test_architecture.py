import itertools

import pytest

from dbeta_lib.errors import UsageError
from dbeta_lib.reporting import plots


def test_the_four_losses_and_both_encoders_are_drawn(layout_faults, texts_of):
    chart = plots.plot_architecture()
    text = " ".join(texts_of(chart))
    assert all(name in text for name in ("MLM", "MEM", "ETM", "ETS", "Flan-T5-base", "N3S"))
    assert layout_faults(chart) == []


def test_every_text_lies_in_its_box_and_no_boxes_overlap(by_gid):
    chart = plots.plot_architecture(text_encoder="6-layer BERT", ecg_layers=12)
    chart.canvas.draw()
    boxes = [box.get_window_extent() for box in by_gid(chart, "box")]
    for a, b in itertools.combinations(boxes, 2):
        assert a.x1 < b.x0 or b.x1 < a.x0 or a.y1 < b.y0 or b.y1 < a.y0
    for text in chart.axes[0].texts:
        extent = text.get_window_extent()
        holder = [b for b in boxes if b.contains(extent.x0 + 1, extent.y0 + 1)]
        if text.get_text() and holder:
            assert holder[0].contains(extent.x1 - 1, extent.y1 - 1), text.get_text()


def test_sizes_are_those_given(texts_of):
    text = " ".join(texts_of(plots.plot_architecture(ecg_layers=3, ecg_masked=0.5, negatives=0)))
    assert "3 transformer" in text and "50% of tokens" in text and "0% swapped" in text


def test_one_layer_is_not_called_layers(texts_of):
    text = " ".join(texts_of(plots.plot_architecture(fusion_layers=1)))
    assert "1 layer of" in text and "4 decoder layers" in text


def test_each_loss_is_reached_and_a_share_beyond_one_is_refused():
    arrows = plots.plot_architecture().data
    assert {"mlm", "mem", "etm", "ets"} <= set(arrows["to"])
    with pytest.raises(UsageError, match="75 is no share"):
        plots.plot_architecture(ecg_masked=75)
