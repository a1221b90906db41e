"""A frozen encoder reads each text once, and its states do not depend on their company."""

import pytest
import torch

from dbeta_lib.config import ObjectiveConfig
from dbeta_lib.encoders.frozen import StateMemory
from dbeta_lib.encoders.text import TextEncoder

IDS = torch.tensor([[3, 5, 7, 1], [4, 6, 1, 0], [4, 1, 0, 0], [3, 5, 7, 1]])
MASK = (IDS != 0).long()


@pytest.fixture(params=["t5", "bert", "deberta-v2"])
def encoder(text_config, request):
    torch.manual_seed(0)
    return TextEncoder(text_config(request.param, freeze_text=True), remember=True)


def counted(encoder):
    """Shapes of what the model itself is asked from now on."""
    shapes = []
    encoder.model.register_forward_pre_hook(
        lambda model, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)),
        with_kwargs=True,
    )
    return shapes


def test_remembered_states_are_the_encoders_own_and_each_text_is_read_once(encoder):
    plain = encoder._read(IDS, MASK)
    shapes = counted(encoder)
    remembered = encoder(IDS, MASK)
    assert shapes == [(1, 4), (1, 3), (1, 2)]  # the fourth is the first again
    kept = MASK.bool()
    assert torch.allclose(remembered[kept], plain[kept], atol=1e-5)
    assert (remembered[~kept] == 0).all()
    again = encoder(IDS[[2, 0]], MASK[[2, 0]])
    assert len(shapes) == 3
    assert torch.equal(again[1], remembered[0]) and torch.equal(again[0], remembered[2])


def test_states_first_read_in_bf16_serve_in_full_precision_too(encoder):
    with torch.autocast("cpu", torch.bfloat16):
        encoder(IDS, MASK)
    remembered = encoder(IDS, MASK)
    encoder.memory.clear()
    assert torch.equal(encoder(IDS, MASK), remembered)


def test_company_and_history_change_no_bit(encoder):
    together = encoder(IDS, MASK)
    encoder.memory.clear()
    alone = encoder(IDS[1:2, :3], MASK[1:2, :3])
    assert torch.equal(alone[0], together[1, :3])


def test_what_is_full_reads_the_batch_at_once(encoder):
    encoder.memory = StateMemory(encoder._read, limit=1)
    encoder(IDS[:1], MASK[:1])
    shapes = counted(encoder)
    assert torch.allclose(encoder(IDS, MASK), encoder._read(IDS, MASK))
    assert shapes == [(4, 4), (4, 4)] and len(encoder.memory.states) == 1


def test_other_weights_are_read_anew(encoder):
    before = encoder(IDS, MASK)
    state = {name: value + 0.1 for name, value in encoder.state_dict().items()}
    torch.nn.ModuleDict({"text": encoder}).load_state_dict(
        {f"text.{name}": value for name, value in state.items()}
    )
    assert not torch.allclose(encoder(IDS, MASK), before)


def test_only_a_frozen_encoder_of_whole_masked_texts_remembers(text_config):
    assert TextEncoder(text_config("t5"), remember=True).memory is None
    assert TextEncoder(text_config("t5", freeze_text=True)).memory is None
    unmasked = text_config("t5", freeze_text=True, text_attention_mask=False)
    assert TextEncoder(unmasked, remember=True).memory is None  # pads count: no text is the same
    assert ObjectiveConfig(mlm_probability=0.0).shows_whole_texts
    assert ObjectiveConfig(mlm_masking="none").shows_whole_texts
    assert not ObjectiveConfig().shows_whole_texts
