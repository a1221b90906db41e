"""The supervised network against another library's ResNet-18, and as an Encoder."""

import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel

from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import Encoder
from dbeta_lib.leads import LEADS


def as_image_network(ours: ResNet18, width: int) -> ResNetModel:
    """The ResNet-18 of transformers with our weights in the middle row of its kernels.

    On an image of height 1 the rows above and below meet padding only, so it must do the same.
    """
    widths = [width * 2**i for i in range(4)]
    config = ResNetConfig(
        num_channels=12, embedding_size=width, hidden_sizes=widths, depths=[2, 2, 2, 2],
        layer_type="basic", hidden_act="relu",
    )  # fmt: skip
    theirs = ResNetModel(config).eval()
    pairs = [(theirs.embedder.embedder, ours.stem[0], ours.stem[1])]
    for number, block in enumerate(ours.stages):
        layer = theirs.encoder.stages[number // 2].layers[number % 2]
        pairs += [
            (layer.layer[0], block.first, block.first_norm),
            (layer.layer[1], block.second, block.second_norm),
        ]
        if isinstance(block.short, nn.Sequential):
            pairs.append((layer.shortcut, *block.short))
        else:
            assert isinstance(layer.shortcut, nn.Identity)
    for target, conv, norm in pairs:
        middle = target.convolution.kernel_size[0] // 2
        target.convolution.weight.data[:, :, middle] = conv.weight.data
        target.normalization.load_state_dict(norm.state_dict())
    return theirs


def stirred(network: nn.Module) -> nn.Module:
    """Batch norms with statistics and weights that are not those of the start."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.2)
    return network.eval()


@torch.no_grad()
def test_it_is_the_resnet_18_of_another_library_over_time():
    torch.manual_seed(0)
    ours = stirred(ResNet18(width=8))
    ecg = torch.randn(3, 12, 1000)
    theirs = as_image_network(ours, 8)(ecg.unsqueeze(2)).pooler_output.flatten(1)
    found = ours.encode_ecg(ecg)
    assert found.shape == (3, 64)
    assert theirs.std() > 0.01
    assert torch.allclose(found, theirs, atol=1e-5)


def test_width_64_has_the_published_number_of_weights():
    # stem; per stage: first block with its short cut, second block; two norms' numbers per channel
    def block(inside, out):
        short = inside * out + 2 * out if inside != out else 0
        return 3 * inside * out + 3 * out * out + 4 * out + short

    expected = 12 * 64 * 7 + 2 * 64 + 2 * block(64, 64)
    expected += sum(block(w, 2 * w) + block(2 * w, 2 * w) for w in (64, 128, 256))
    found = sum(p.numel() for p in ResNet18(width=64).parameters())
    assert found == expected
    assert 3.8e6 < found < 3.9e6


@torch.no_grad()
def test_it_is_an_encoder_whose_masked_leads_are_zeros():
    network = ResNet18(width=4).eval()
    assert isinstance(network, Encoder)
    assert (network.leads, network.sampling_rate, network.features) == (LEADS, 100, 32)
    ecg = torch.randn(2, 12, 500)
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[0, 3] = False
    silent = ecg.clone()
    silent[0, 3] = 0
    assert torch.equal(network.encode_ecg(ecg, mask), network.encode_ecg(silent))
    assert not torch.equal(network.encode_ecg(ecg)[0], network.encode_ecg(silent)[0])


def test_classes_give_logits_and_fewer_channels_name_their_leads():
    network = ResNet18(classes=5, width=4, channels=2, leads=("I", "v2"), sampling_rate=500)
    assert network(torch.zeros(3, 2, 300)).shape == (3, 5)
    assert network.encode_ecg(torch.zeros(3, 2, 300)).shape == (3, 32)
    assert (network.leads, network.sampling_rate) == (("I", "V2"), 500)


def test_a_seed_decides_the_weights_and_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    one, same, other = (ResNet18(width=4, classes=2, seed=s) for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    flat = [nn.utils.parameters_to_vector(n.parameters()) for n in (one, same, other)]
    assert torch.equal(flat[0], flat[1]) and not torch.equal(flat[0], flat[2])
    ResNet18(width=4)
    assert not torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ResNet18(channels=3), "12 leads are named for 3 channels"),
        (lambda: ResNet18(classes=0), "must be 1 or more"),
        (lambda: ResNet18(width=0), "must be 1 or more"),
        (lambda: ResNet18(width=4)(torch.zeros(2, 3, 100)), r"takes \[B, 12, T\] at 100 Hz"),
        (lambda: ResNet18(width=4)(torch.zeros(12, 100)), "takes"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(call, said):
    with pytest.raises(UsageError, match=said):
        call()
