"""T5's encoder (Raffel et al., JMLR 2020) on the real tokens of a batch alone.

The layers are those of transformers; only the order of their calls is written again, so that what
works token by token is given no padding. Attention takes each text at its place as before.
"""

from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Block

from dbeta_lib.encoders.layers import additive, attend, joint
from dbeta_lib.packing import Packing


def read_packed(
    model: T5EncoderModel, input_ids: Tensor, attention_mask: Tensor, packing: Packing
) -> Tensor:
    """Hidden states `[N, width]` of the tokens; ids and mask `[B, L]`."""
    stack, length = model.encoder, input_ids.shape[1]
    x = stack.dropout(model.get_input_embeddings()(packing.pack(input_ids)))
    bias = stack.block[0].layer[0].SelfAttention.compute_bias(length, length)
    scores = bias + additive(attention_mask[:, None, None].bool(), bias.dtype)
    for block in stack.block:
        if "forward" in vars(block):  # its activations are not to be kept (`training.layers`)
            x = checkpoint(_block, block, x, scores, packing, use_reentrant=False)
        else:
            x = _block(block, x, scores, packing)
    return stack.dropout(stack.final_layer_norm(x))


def _block(block: T5Block, x: Tensor, scores: Tensor, packing: Packing) -> Tensor:
    """One layer; scores `[B, heads, L, L]` are added to those of queries and keys."""
    reading, feeding = block.layer[0], block.layer[-1]
    part, normed = reading.SelfAttention, reading.layer_norm(x)
    q, k, v = joint(normed, (part.q, part.k, part.v), part.n_heads, packing)
    dropout = reading.dropout  # of the same share as that of the probabilities
    mixed = attend(q, k, v, scores.to(q.dtype), dropout, scale=1.0).transpose(1, 2).flatten(2)
    x = x + reading.dropout(part.o(packing.pack(mixed)))
    return feeding(x)
