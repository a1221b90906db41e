"""`dbeta finetune` on a small store: one record per set of leads, wrong use in one sentence."""

import pytest

from dbeta_lib.cli import main
from dbeta_lib.config import DBetaConfig
from dbeta_lib.data import prepare
from dbeta_lib.evaluation.results import load_all
from dbeta_lib.model import DBeta


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A store of the synthetic cohort and a model folder with random weights."""
    folder = tmp_path_factory.mktemp("finetune")
    prepare("synthetic", None, folder / "store", 100, workers=1, patients=30, progress=False)
    small = {"ecg_layers": 1, "fusion_layers": 1, "decoder_layers": 1}
    DBeta(DBetaConfig.preset("mini", "recommended", **small)).save_pretrained(folder / "model")
    return folder


def test_each_set_of_leads_gives_a_record(places, tmp_path, capsys):
    model, store = str(places / "model"), str(places / "store")
    asked = ["finetune", model, store, "--task", "conditions", "--leads", "12 I,V5"]
    assert main([*asked, "--epochs", "1", "--out", str(tmp_path)]) == 0
    frame = load_all(tmp_path)
    assert sorted(frame["lead_subset"]) == ["12", "I,V5"]
    assert set(frame["protocol"]) == {"full fine-tuning"}
    assert set(frame["variant"]) == {"1 epochs, lr 0.0005"}
    assert capsys.readouterr().out.count("macro_auc") == 2


def test_the_published_recipe_has_its_own_rate_and_its_name_in_the_record(places, tmp_path):
    asked = ["finetune", str(places / "model"), str(places / "store"), "--task", "conditions"]
    assert main([*asked, "--recipe", "published", "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert load_all(tmp_path)["variant"].tolist() == ["1 epochs, lr 5e-05, published recipe"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--task", "condition"], "did you mean 'conditions'"),
        ([], "--task names none of"),
        (["--task", "conditions", "--leads", "12 V7"], "V7"),
        (["--task", "conditions", "--leads", " "], "names no set of leads"),
        (["--task", "conditions", "--recipe", "onecycle"], "did you mean 'one-cycle'"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(places, tmp_path, capsys, options, sentence):
    asked = ["finetune", str(places / "model"), str(places / "store"), *options]
    assert main([*asked, "--epochs", "1", "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err
