"""The yardsticks measure what they say, and take nothing from the test rows."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import baselines
from dbeta_lib.evaluation.encoders import weights_hash
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.probe import linear_probe
from dbeta_lib.leads import LEADS, derive_limb_leads

NAMES = baselines.HandMadeFeatures.names


def drawn(rate: float = 75, pr: float = 160, st: float = 0.0, sampling_rate: int = 100, ectopic=()):
    """mV `[12, 10 s]`: P, QRS and T as Gaussians at a heart rate (bpm), P `pr` ms before R."""
    time = np.arange(10 * sampling_rate) / sampling_rate
    ecg = np.zeros((12, len(time)))
    for n, beat in enumerate(np.arange(0.4, 10, 60 / rate)):
        early = n in ectopic
        beat, width = (beat - 0.25, 0.04) if early else (beat, 0.018)
        for centre, sigma, height in (
            (-pr / 1000, 0.02, 0.0 if early else 0.15), (0.0, width, 2.5 if early else 1.2),
            (0.28, 0.05, 0.3), (0.13, 0.03, st),
        ):  # fmt: skip
            ecg += height * np.exp(-(((time - beat - centre) / sigma) ** 2) / 2)
    gain = np.array([0.8, 1.2, 0, 0, 0, 0, -0.6, 0.4, 0.8, 1.2, 1.1, 0.9])
    return derive_limb_leads(ecg * gain[:, None])


def measured(**how):
    rate = how.get("sampling_rate", 100)
    return dict(zip(NAMES, baselines.measure(drawn(**how), rate), strict=True))


@pytest.mark.parametrize("rate", [40, 60, 75, 100, 150, 180])
def test_the_heart_rate_is_measured(rate):
    assert measured(rate=rate)["rate"] == pytest.approx(rate, rel=0.02)


def test_intervals_amplitudes_and_axis_are_measured():
    found = measured()
    assert found["pr_ms"] == pytest.approx(160, abs=20)
    assert measured(pr=240)["pr_ms"] == pytest.approx(240, abs=20)
    assert found["r_II"] == pytest.approx(1.2 * 1.2, rel=0.05)
    assert found["s_V1"] == pytest.approx(-0.6 * 1.2, rel=0.05)
    assert found["t_II"] == pytest.approx(0.3 * 1.2, rel=0.1)
    assert found["t_V1"] == pytest.approx(-0.3 * 0.6, rel=0.1)
    assert measured(st=-0.2)["st_II"] < found["st_II"] - 0.1
    angle = np.degrees(np.arctan2(found["axis_sin"], found["axis_cos"]))
    assert angle == pytest.approx(np.degrees(np.arctan2(1.2 - 0.4, 0.8)), abs=1)


def test_ectopic_beats_are_seen():
    plain, ectopic = measured(), measured(ectopic=(4, 8))
    assert ectopic["rr_shortest"] < 0.8 * plain["rr_shortest"]
    assert ectopic["beat_likeness"] < plain["beat_likeness"] - 0.1
    assert ectopic["rr_sd"] > 5 * plain["rr_sd"]


def test_the_rate_does_not_depend_on_the_sampling_rate():
    one, other = measured(), measured(sampling_rate=500)
    for name in ("rate", "pr_ms", "r_II", "s_V1", "axis_cos"):
        assert other[name] == pytest.approx(one[name], rel=0.1), name


@pytest.mark.parametrize("ecg", [np.zeros((12, 1000)), np.ones((12, 1000)), np.zeros((12, 20))])
def test_an_ecg_without_beats_gives_zeros(ecg):
    assert (baselines.measure(ecg, 100) == 0).all()


def test_measurements_go_through_features_like_any_encoder(store, tmp_path):
    hand = baselines.HandMadeFeatures()
    out = extract(hand, store, cache_dir=tmp_path, progress=False)
    assert out.shape == (len(store), len(NAMES)) and len(list(tmp_path.glob("*.npy"))) == 1
    np.testing.assert_allclose(out[9], baselines.measure(store.ecg([9])[0], 100), rtol=1e-4)


def test_a_masked_lead_is_not_measured():
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[0, LEADS.index("V3")] = False
    ecg = torch.from_numpy(drawn())[None]
    found = dict(zip(NAMES, baselines.HandMadeFeatures().encode_ecg(ecg, mask)[0].tolist()))
    assert found["r_V3"] == 0 and found["r_V4"] > 1


def test_heart_rate_alone_can_find_slow_and_fast_but_knows_nothing_else():
    rng = np.random.default_rng(0)
    rate = rng.uniform(40, 180, 600)
    hats = baselines.heart_rate_features(np.r_[rate, np.nan])
    np.testing.assert_allclose(hats[:-1].sum(1), 1)
    assert (hats[-1] == 0).all()
    labels = {"normal rate": (rate > 60) & (rate < 100), "else": rng.random(600) < 0.5}
    import pandas as pd

    splits = np.repeat(["train", "val", "test"], 200)
    probe = linear_probe(
        hats[:-1], pd.DataFrame(labels).astype(int), splits, (1.0,), patients=np.arange(600),
        resamples=20, progress=False,
    )[0]  # fmt: skip
    auc = probe.per_class()["auc"]
    assert auc["normal rate"] > 0.95 and 0.4 < auc["else"] < 0.6


def test_a_random_encoder_is_one_seed_and_leaves_torchs_state_alone():
    from dbeta_lib import DBetaConfig

    config = DBetaConfig.preset("mini")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = baselines.random_encoder(config, 0)
    assert torch.equal(torch.rand(3), expected)
    assert not one.training
    assert weights_hash(one) == weights_hash(baselines.random_encoder(config, 0))
    assert weights_hash(one) != weights_hash(baselines.random_encoder(config, 1))


def test_the_control_of_a_model_on_another_text_encoder_takes_its_tokenizer(tmp_path):
    from transformers import T5Config, T5EncoderModel

    from dbeta_lib import DBeta, DBetaConfig
    from dbeta_lib.encoders.text import train_tokenizer

    tokenizer = train_tokenizer(["sinus rhythm", "atrial fibrillation"], 60)
    size = {"d_model": 40, "d_kv": 10, "d_ff": 32, "num_layers": 1, "num_heads": 4}
    base = T5Config(vocab_size=2500, **size)  # more rows than the mini preset's text encoder
    T5EncoderModel(base).save_pretrained(tmp_path)
    tokenizer.add_tokens([f"word{i}" for i in range(2300)])
    tokenizer.save_pretrained(tmp_path)
    trained = DBeta(DBetaConfig.preset("mini", text_model=str(tmp_path)))
    control = baselines.random_encoder(trained.config, 0)
    control.tokenizer = trained.tokenizer
    assert control.encode_text(["sinus rhythm"]).shape == (1, 128)
    assert not torch.equal(
        control.text_encoder.model.shared.weight, trained.text_encoder.model.shared.weight
    )
    shapes = [{n: p.shape for n, p in model.named_parameters()} for model in (control, trained)]
    assert shapes[0] == shapes[1]


def test_text_features_learn_from_training_reports_only():
    texts = ["sinus rhythm normal ecg", "atrial fibrillation", "old infarct", "normal ecg"] * 10
    train = np.arange(24)
    one = baselines.text_features(texts, train, dim=5)
    changed = [*texts[:24], *["strange new words here"] * 16]
    other = baselines.text_features(changed, train, dim=5)
    np.testing.assert_allclose(one[:24], other[:24])
    np.testing.assert_allclose(other[24:], 0)
    assert one.shape == (40, 5)
    np.testing.assert_allclose(one, baselines.text_features(texts, np.arange(40) < 24, dim=5))


def test_text_features_say_what_they_cannot_do():
    with pytest.raises(UsageError, match="needs training reports"):
        baselines.text_features(["a b"], np.array([], dtype=int))
    with pytest.raises(UsageError, match="share no word"):
        baselines.text_features(["a", "b", "c"], np.arange(3))


def test_report_scores_are_mean_cosines_of_word_counts_and_never_see_an_ecg():
    reports = ["sinus rhythm. normal ecg.", "atrial fibrillation.", "old infarct. sinus rhythm."]
    reports, train = [*reports * 5, "", "atrial tachycardia"], np.arange(15)
    asked = [["Sinus rhythm"], ["atrial fibrillation", "no such word"]]
    found = baselines.report_scores(reports, train, asked)
    words = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\w+"
    ).fit(reports[:15])
    for row, report in enumerate(reports):
        for k, its in enumerate(asked):
            alike = [cosine_similarity(*map(words.transform, ([report], [one]))) for one in its]
            assert found[row, k] == pytest.approx(np.mean(alike), abs=1e-12)
    assert found[:2].argmax(axis=1).tolist() == [0, 1] and not found[15].any()
    assert found[1, 1] == pytest.approx(0.5), "the sentence itself, and one of unknown words"
    with pytest.raises(UsageError, match="needs training reports"):
        baselines.report_scores(reports, np.array([], dtype=int), asked)
