"""Zero-shot scores by name, averaged over a class's texts, beside what chance gives."""

from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import zero_shot as zs
from dbeta_lib.evaluation.encoders import as_encoder
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.metrics import auc_per_class
from dbeta_lib.leads import LEADS, subset_mask


class Knowing(nn.Module):
    """Embeds an ECG as (zero crossings, amplitude, 1); a text as what it speaks of."""

    sampling_rate, leads = 100, LEADS
    words = MappingProxyType({"quick": (1, 0, 0), "slow": (-1, 0, 0), "big": (0, 1, 0)})

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def encode_ecg(self, ecg, lead_mask=None):
        lead = ecg[:, 1]
        turns = (lead[:, 1:] * lead[:, :-1] < 0).float().sum(-1)
        return torch.stack([turns, lead.abs().mean(-1), torch.ones(len(ecg))], dim=1)

    def encode_text(self, texts):
        rows = [sum(torch.tensor(self.words.get(w, (0, 0, 1))) for w in t.split()) for t in texts]
        return torch.stack([row.float() for row in rows])

    def similarity(self, ecg_features, text_features):
        return self.scale * ecg_features @ text_features.T


PROMPTS = {"rare": ["what"], "quick": "quick", "tall": ["big", "how big"], "slow": ["slow"]}


def texts_of(name: str) -> list[str]:
    return [PROMPTS[name]] if isinstance(PROMPTS[name], str) else PROMPTS[name]


@pytest.fixture
def result(store):
    return zs.zero_shot(Knowing(), store, "shape", PROMPTS, resamples=100, progress=False)


def test_similarities_leave_the_device_before_they_become_float64():
    class OnApple(Knowing):
        def similarity(self, ecg_features, text_features):
            found = super().similarity(ecg_features, text_features).detach()
            return SimpleNamespace(cpu=lambda: found)  # no .double() there

    found = zs.similarities(OnApple(), np.ones((2, 3)), ["quick", "slow", "big"])
    assert found.shape == (2, 3) and found.dtype == np.float64


def test_classes_are_matched_by_name_and_the_rows_are_the_labelled_test_rows(store, result):
    assert (
        result.classes == tuple(store.labels("shape").columns) == ("slow", "tall", "rare", "quick")
    )
    np.testing.assert_array_equal(result.rows, store.rows("test"))
    assert result.table().loc[["slow", "tall", "quick"], "auc"].tolist() == [1, 1, 1]
    assert result.table().loc["rare", "auc"] == 0.5


def test_the_score_is_the_mean_similarity_with_the_classs_texts(store, result):
    model = Knowing()
    ecg = torch.from_numpy(extract(model, store, result.rows, progress=False))
    for k, name in enumerate(result.classes):
        each = [model.similarity(ecg, model.encode_text([t]))[:, 0] for t in texts_of(name)]
        mean = torch.stack(each).mean(0).detach().numpy()
        np.testing.assert_allclose(result.scores[:, k], mean, rtol=1e-5)
    # with a dot product that is the similarity with the mean vector
    pooled = torch.stack([model.encode_text(texts_of(name)).mean(0) for name in result.classes])
    np.testing.assert_allclose(
        result.scores, model.similarity(ecg, pooled).detach().numpy(), rtol=1e-5
    )


def test_rows_without_a_label_of_the_task_are_left_out(store):
    found = zs.zero_shot(
        Knowing(), store, "shape", PROMPTS, np.arange(len(store)), resamples=20, progress=False
    )
    assert 7 not in found.rows and len(found.rows) == len(store) - 1


def test_macro_and_intervals_are_those_of_the_scores(result):
    auc = auc_per_class(result.y, result.scores)
    assert result.macro.value == pytest.approx(auc.mean()) == pytest.approx(result.interval.value)
    assert [i.value for i in result.per_class] == pytest.approx(auc.tolist())
    assert result.interval.patients == 8


def test_leads_left_out_are_not_seen(store):
    without = zs.zero_shot(
        Knowing(), store, "shape", PROMPTS, lead_mask=subset_mask("I"), resamples=20, progress=False
    )
    assert without.table()["auc"].tolist() == [0.5] * 4


def test_chance_is_near_one_half_and_spreads(result):
    control = zs.chance(result, times=300)
    assert control.value == pytest.approx(0.5, abs=0.03)
    assert 0.2 < control.low < 0.45 and 0.55 < control.high < 0.8
    assert control == zs.chance(result, times=300)


def test_swapped_texts_leave_no_class_its_own(result):
    swapped = zs.swapped_texts(result)
    own = [np.array_equal(swapped.scores[:, k], result.scores[:, k]) for k in range(4)]
    assert not any(own)
    assert sorted(swapped.scores.sum(0)) == pytest.approx(sorted(result.scores.sum(0)))
    assert swapped.macro.value < result.macro.value


def test_a_free_text_ranks_ecgs(store):
    model = Knowing()
    ecg = extract(model, store, store.rows("test"), progress=False)
    best, scores = zs.rank(model, "big", ecg, k=8)
    tall = store.labels("shape")["tall"].to_numpy()[store.rows("test")]
    assert tall[best].all() and (np.diff(scores) <= 0).all() and len(best) == 8


def test_a_single_text_may_stand_for_a_list():
    assert zs.class_texts(["a"], {"a": "word"}) == [("word",)]


def test_wrong_input_is_refused_in_a_sentence(store):
    with pytest.raises(UsageError, match=r"no text .* for 2 of 4 classes \(tall, rare\); add"):
        zs.zero_shot(
            Knowing(),
            store,
            "shape",
            {"slow": ["quick"], "quick": "quick", "rare": []},
            progress=False,
        )
    plain = as_encoder(lambda ecg: ecg.mean(-1), 100)
    with pytest.raises(UsageError, match="cannot be asked by text"):
        zs.zero_shot(plain, store, "shape", PROMPTS, progress=False)


def test_it_runs_with_the_real_model_and_its_own_descriptions(store):
    from dbeta_lib import DBeta, DBetaConfig
    from dbeta_lib.encoders.text import train_tokenizer

    tokenizer = train_tokenizer(["sinus rhythm normal ecg", "atrial fibrillation"] * 5, 60)
    model = DBeta(DBetaConfig.preset("mini"), tokenizer=tokenizer)
    found = zs.zero_shot(model, store, "shape", PROMPTS, resamples=20, progress=False)
    assert np.isfinite(found.scores).all() and found.scores.shape == (16, 4)
