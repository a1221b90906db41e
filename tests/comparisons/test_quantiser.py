"""The quantiser against the one of transformers."""

import pytest
import torch
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

from dbeta_lib.comparisons.quantiser import Quantiser


@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_quantiser_of_another_library(training):
    torch.manual_seed(0)
    ours = Quantiser(5, groups=2, entries=7, width=8).train(training)
    shape = Wav2Vec2Config(
        conv_dim=(5,), conv_stride=(1,), conv_kernel=(1,), codevector_dim=8,
        num_codevector_groups=2, num_codevectors_per_group=7,
    )  # fmt: skip
    theirs = Wav2Vec2GumbelVectorQuantizer(shape).train(training)
    theirs.weight_proj.load_state_dict(ours.logits.state_dict())
    theirs.codevectors.data = ours.words.data.reshape(1, 14, 4)
    theirs.temperature = 1.7
    x, masked = torch.randn(3, 6, 5), torch.rand(3, 6) < 0.5
    found = []
    for call in (lambda: ours(x, masked, 1.7), lambda: theirs(x, masked)):
        torch.manual_seed(1)
        found.append(call())
    torch.testing.assert_close(found[0], found[1])
    assert 2 < found[0][1] < 14


def test_gradients_reach_words_and_choice():
    quantiser = Quantiser(5, 2, 7, 8)
    words, perplexity = quantiser(torch.randn(2, 6, 5), torch.ones(2, 6, dtype=torch.bool), 2.0)
    words.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in quantiser.parameters())
    assert perplexity.requires_grad
