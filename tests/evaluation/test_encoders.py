"""Any encoder gets its own rate, its own leads in its own order, and zeros for absent leads."""

import numpy as np
import pytest
import torch
from torch import nn

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation import encoders
from dbeta_lib.leads import LEADS, MIMIC_LEADS


def waves(rate: int, hz: float = 5.0) -> np.ndarray:
    """float32 `[1, 12, 10 s]`: lead i is a sine of amplitude i + 1."""
    time = np.arange(10 * rate) / rate
    return (np.arange(1, 13)[:, None] * np.sin(2 * np.pi * hz * time))[None].astype(np.float32)


def test_leads_go_by_name_into_the_encoders_order():
    ecg = waves(100)
    mask = np.ones((1, 12), bool)
    mask[0, LEADS.index("aVL")] = False
    encoder = encoders.as_encoder(lambda x: x, 100, MIMIC_LEADS)
    out, out_mask = encoders.to_encoder_input(ecg, mask, 100, encoder)
    for position, name in enumerate(MIMIC_LEADS):
        expected = np.zeros(1000) if name == "aVL" else ecg[0, LEADS.index(name)]
        np.testing.assert_array_equal(out[0, position].numpy(), expected)
        assert out_mask[0, position] == (name != "aVL")


def test_an_encoder_of_few_leads_gets_only_these_resampled():
    encoder = encoders.as_encoder(lambda x: x, 200, ["v2", "I"])
    assert encoder.leads == ("V2", "I")
    out, mask = encoders.to_encoder_input(waves(100), np.ones((1, 12), bool), 100, encoder)
    assert out.shape == (1, 2, 2000) and mask.shape == (1, 2)
    assert out[0, 0].max() == pytest.approx(8, rel=0.01)
    assert out[0, 1].max() == pytest.approx(1, rel=0.01)


def test_a_plain_callable_sees_masked_leads_as_zeros():
    encoder = encoders.as_encoder(lambda ecg: ecg.abs().sum(-1), 100)
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[0, 3] = False
    out = encoder.encode_ecg(torch.ones(1, 12, 10), mask)
    assert out[0, 3] == 0 and (out[0, [0, 1, 2, *range(4, 12)]] == 10).all()


def test_the_protocol_is_met_by_a_wrapped_module_and_by_the_model():
    from dbeta_lib import DBeta, DBetaConfig

    model = DBeta(DBetaConfig.preset("mini"))
    for encoder in (model, encoders.as_encoder(nn.Flatten(), 100)):
        assert isinstance(encoder, encoders.Encoder)
        encoders.check_encoder(encoder)


def test_evaluating_switches_dropout_off_and_gives_the_mode_back():
    module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4))
    module[1].eval()
    with encoders.evaluating(module):
        assert not module[0].training and not torch.is_grad_enabled()
    assert module.training and module[0].training and not module[1].training


def test_the_weights_hash_changes_with_any_weight_and_with_nothing_else():
    module = nn.BatchNorm1d(3)
    before = encoders.weights_hash(module)
    assert encoders.weights_hash(module.eval()) == before
    module.running_mean[1] += 1e-7
    after = encoders.weights_hash(module)
    assert after != before
    assert encoders.weights_hash(module.to(torch.bfloat16)) not in (before, after)
    assert encoders.weights_hash(lambda x: x) == ""


def test_the_same_weights_behind_another_forward_are_another_encoder(make_toy):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(12, 6)

    toy, other = make_toy(), Other()
    other.layer = toy.layer
    other.sampling_rate, other.leads = 100, LEADS
    assert encoders.weights_hash(toy) == encoders.weights_hash(other)
    same_file = encoders.identity(toy) == encoders.identity(other)
    assert not same_file
    toy.sampling_rate = 500
    assert encoders.identity(toy) != encoders.identity(make_toy())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: encoders.as_encoder(nn.Flatten(), 100, ["I", "V7"]), "V7"),
        (lambda: encoders.as_encoder(nn.Flatten(), 100, ["I", "i"]), "twice"),
        (lambda: encoders.as_encoder(nn.Flatten(), 0), "0 Hz"),
        (lambda: encoders.check_encoder(nn.Flatten()), "no encode_ecg, no sampling_rate"),
        (lambda: encoders.check_encoder(encoders.as_encoder(nn.Flatten(), 100, [])), "no leads"),
        (
            lambda: encoders.to_encoder_input(
                np.zeros((2, 11, 9)), np.ones((2, 11), bool), 100, None
            ),
            "12, T",
        ),
    ],
)
def test_wrong_use_is_refused_in_a_sentence(make, said):
    with pytest.raises(UsageError, match=said):
        make()
