"""The path that learns computes what the encoder computes, and lets gradients through."""

import numpy as np
import pytest
import torch
from torch import nn

from dbeta_lib import DBetaConfig
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.baselines import HandMadeFeatures, random_encoder
from dbeta_lib.evaluation.classifier import Classifier, trainable_path
from dbeta_lib.evaluation.encoders import as_encoder
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.lead_subsets import DerivedLeads
from dbeta_lib.leads import MIMIC_LEADS, order_to


@pytest.fixture(scope="module")
def dbeta():
    config = DBetaConfig.preset("mini", "recommended", ecg_layers=1, lead_order="mimic")
    return random_encoder(config, 0)


@pytest.fixture(scope="module")
def examples():
    torch.manual_seed(0)
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[0, 4] = mask[2, 7] = False
    return torch.randn(3, 12, 1000), mask


def test_the_pooled_path_gives_what_encode_ecg_gives(dbeta, examples):
    path = trainable_path(dbeta, "pooled").eval()
    found = path(*examples)
    assert found.requires_grad
    assert torch.equal(found, dbeta.encode_ecg(*examples))


def test_the_mean_path_averages_the_tokens_without_the_class_token(dbeta, examples):
    ecg, mask = examples
    with torch.no_grad():
        seen = (ecg * mask[..., None])[:, order_to(MIMIC_LEADS)]
        hidden = dbeta.ecg_encoder(seen, None)[0]
        tokens = [hidden[:, i] for i in range(1, hidden.shape[1])]
        expected = torch.stack(tokens).mean(0)
        found = trainable_path(dbeta, "mean").eval()(ecg, mask)
    assert len(tokens) == dbeta.tokens
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("feature", ["mean", "pooled"])
def test_every_weight_of_a_dbeta_s_path_gets_a_gradient(dbeta, examples, feature):
    path = trainable_path(dbeta, feature)
    path(*examples).square().sum().backward()
    without = [name for name, p in path.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad is None for p in dbeta.parameters())  # it is a copy
    frozen = trainable_path(dbeta, feature, freeze_stem=True)
    frozen(*examples).square().sum().backward()
    still = [name for name, p in frozen.named_parameters() if p.grad is None]
    assert still and all(name.startswith("encoder.stem.") for name in still)


def test_leads_that_are_derived_are_derived_on_the_path_too(dbeta, examples):
    ecg, mask = examples
    mask = mask.clone()
    mask[:, 2:] = False
    derived = DerivedLeads(dbeta)
    found = trainable_path(derived, "pooled").eval()(ecg, mask)
    assert torch.equal(found, derived.encode_ecg(ecg, mask))
    assert not torch.equal(found, dbeta.encode_ecg(ecg, mask))


def test_a_classifier_is_an_encoder_with_a_head(toy, examples):
    network = Classifier.build(toy, [examples], 5, FinetuneConfig()).eval()
    features = network.encode_ecg(examples[0])
    assert torch.equal(network(*examples), network.head(network.encode_ecg(*examples)))
    assert torch.equal(features, toy.eval().encode_ecg(examples[0]))
    assert network(*examples).shape == (3, 5)
    assert (network.leads, network.sampling_rate) == (toy.leads, toy.sampling_rate)


class WithNorm(nn.Module):
    sampling_rate, leads = 100, ("I",)

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def encode_ecg(self, ecg, lead_mask=None):
        return self.norm(ecg).mean(-1)


def test_the_trial_does_not_move_the_statistics_of_the_encoder_given():
    encoder = WithNorm().train()
    trial = (torch.ones(2, 1, 50), torch.ones(2, 1, dtype=torch.bool))
    network = Classifier.build(encoder, [trial], 2, FinetuneConfig())
    assert encoder.norm.running_mean.item() == 0 and encoder.training
    assert network.path.encoder.norm.running_mean.item() == 0


class NoGradient(nn.Module):
    sampling_rate, leads = 100, ("I",)

    def __init__(self, wrapper):
        super().__init__()
        self.layer, self.wrapper = nn.Linear(50, 3), wrapper

    def encode_ecg(self, ecg, lead_mask=None):
        with self.wrapper():
            return self.layer(ecg[:, 0])


@pytest.mark.parametrize("wrapper", [torch.no_grad, torch.inference_mode])
def test_an_encoder_without_gradients_is_refused(wrapper):
    trial = (torch.ones(2, 1, 50), torch.ones(2, 1, dtype=torch.bool))
    with pytest.raises(UsageError, match="with gradients; take no_grad"):
        Classifier.build(NoGradient(wrapper), [trial], 2, FinetuneConfig())


def test_what_cannot_learn_is_refused(toy, dbeta):
    with pytest.raises(UsageError, match="no weights to train"):
        trainable_path(HandMadeFeatures())
    with pytest.raises(UsageError, match="no weights to train"):
        trainable_path(as_encoder(lambda ecg: ecg.mean(-1), 100))
    with pytest.raises(UsageError, match="for a D-BETA, not for Toy"):
        trainable_path(toy, "pooled")
    with pytest.raises(UsageError, match="for a D-BETA, not for Toy"):
        trainable_path(toy, freeze_stem=True)
    with pytest.raises(UsageError, match="no encode_ecg"):
        trainable_path(np.zeros(3))


def test_a_record_of_another_length_is_refused_by_the_encoder_s_own_check(dbeta):
    trial = (torch.ones(2, 12, 900), torch.ones(2, 12, dtype=torch.bool))
    with pytest.raises(UsageError, match="10 s at 100 Hz"):
        Classifier.build(dbeta, [trial], 2, FinetuneConfig())
