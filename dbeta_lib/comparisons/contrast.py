"""The contrastive losses of the comparison models, each a function of tensors.

The embeddings come as they are: every loss brings them to unit length itself, so a similarity is a
cosine, and divides it by a temperature (or multiplies it by a learnt scale).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_LOW = -1e30  # a logit that takes no part in a softmax; finite, so that gradients stay finite
_SAME = 1e-5  # largest difference of two quantised vectors that are made of the same code words


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of all pairs, `[..., n, D]` x `[..., m, D]` -> `[..., n, m]`, in single precision."""
    a, b = F.normalize(_full(a), dim=-1), F.normalize(_full(b), dim=-1)
    return a @ b.transpose(-1, -2)


def info_nce(a: Tensor, b: Tensor, scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE of pairs `[B, D]`, row i of `a` with row i of `b` (CLIP, ICML 2021).

    With s_ij = scale * cos(a_i, b_j):
    -1/(2B) sum_i [ log softmax_j(s_ij)[i] + log softmax_j(s_ji)[i] ]. ln B where all are alike.
    """
    logits = scale * cosines(a, b)
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """NT-Xent of two views `[B, D]` of the same records (SimCLR, ICML 2020, equation 1).

    For z = [a; b], s_ij = cos(z_i, z_j) / temperature and i' the other view of i:
    -1/(2B) sum_i log( exp(s_ii') / sum_{k != i} exp(s_ik) ).
    """
    z, n = torch.cat([a, b]), len(a)
    logits = cosines(z, z) / temperature
    logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), _LOW)
    other = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, other)


def masked_contrast(context: Tensor, targets: Tensor, masked: Tensor, temperature: float) -> Tensor:
    """Which quantised token was hidden here? (wav2vec 2.0, NeurIPS 2020, equation 3.)

    context, targets `[B, T, D]`: network outputs and quantised tokens; masked `[B, T]` bool. With
    s_tu = cos(context_t, targets_u) / temperature, the mean over the masked t of all records of
    -log( exp(s_tt) / sum_u exp(s_tu) ), u over t and the other masked tokens of the same record
    whose quantised vector is another one. The published code draws 100 of these with replacement;
    a record has about 75, so here each stands once and nothing is drawn.
    """
    logits = cosines(context, targets) / temperature
    fixed = _full(targets.detach())
    is_same = torch.cdist(fixed, fixed, p=float("inf")) < _SAME
    own = torch.eye(masked.shape[1], dtype=torch.bool, device=masked.device)
    logits = logits.masked_fill(~((masked[:, None, :] & ~is_same) | own), _LOW)
    place = torch.arange(masked.shape[1], device=masked.device).expand(masked.shape)
    return F.cross_entropy(logits[masked], place[masked])


def _full(x: Tensor) -> Tensor:
    """At least single precision: bfloat16 has no digits to spare before a temperature of 0.07."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
