"""Progress bars are text where a runner asks for it."""

import tqdm as library

from dbeta_lib.progress import AS_TEXT, tqdm


def test_text_is_given_where_it_is_asked_for_and_the_usual_bar_elsewhere(monkeypatch, capsys):
    monkeypatch.setenv(AS_TEXT, "1")
    with tqdm(total=3, desc="pre-training") as bar:
        bar.update(3)
    assert type(bar) is library.tqdm and bar.mininterval == 2.0
    assert "pre-training: 100%" in capsys.readouterr().err
    monkeypatch.delenv(AS_TEXT)
    assert list(tqdm(range(2), disable=True)) == [0, 1]
