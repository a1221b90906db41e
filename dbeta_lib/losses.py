"""The four losses of D-BETA (paper section 3.4), each a function of tensors, named in the output.

MLM predicts masked words, MEM masked samples, ETM whether text and ECG belong together, and ETS
contrasts all pairs of a batch by sigmoids. Where the official code differs from the paper's text,
an argument chooses. InfoNCE, the softmax that ETS stands in place of, is here to be compared.
Whatever the network computes in, a loss is taken in single precision at least.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """`x` in single precision at least."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def mlm_loss(logits: Tensor, labels: Tensor, words: Tensor | None = None) -> Tensor:
    """Cross-entropy of the masked words, -1/n sum_i log softmax(logits_i)[labels_i].

    logits `[n, V]` and labels `[n]` at the masked positions only; 0 when there is none. words: what
    the sum is divided by in place of n, where these are part of a larger batch (see `Batch`).
    """
    if labels.numel() == 0:
        return logits.sum()  # an empty sum: 0 with a gradient path
    if words is None:
        return F.cross_entropy(full(logits), labels)
    return F.cross_entropy(full(logits), labels, reduction="sum") / words


def mem_target(ecg: Tensor, tokens: int, patch: int, scaling: str = "lead") -> Tensor:
    """The samples to be predicted, `[B, tokens, channels, patch]`, from mV `[B, channels, T]`.

    The first tokens * patch samples, scaled (x - mean) / sqrt(var + 1e-6) with the unbiased
    variance, per channel over the whole record ("lead"), per channel and token ("patch"), or left
    in mV ("none"). A channel of zeros stays zeros.
    """
    x = full(ecg[..., : tokens * patch])
    if scaling == "lead":
        x = _standardise(x)
    x = x.unflatten(-1, (tokens, patch))
    if scaling == "patch":
        x = _standardise(x)
    return x.transpose(1, 2)


def _standardise(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    # not `var`, which is slow on a CPU
    variance = torch.linalg.vector_norm(centred, dim=-1, keepdim=True).square() / (x.shape[-1] - 1)
    return centred / (variance + 1e-6).sqrt()


def mem_loss(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error of the removed tokens, sum(mask * err) / sum(mask).

    prediction, target `[B, tokens, channels, patch]`; err is the mean over a token's samples; mask
    `[B, tokens]`, 1 = removed; None: the tokens given are those removed. 0 when nothing was
    removed. As many tokens are removed of every record, so the mean over the parts of a batch is
    that of the whole.
    """
    if mask is None:
        prediction = full(prediction)
        return F.mse_loss(prediction, target) if target.numel() else prediction.sum()
    error = F.mse_loss(full(prediction), target, reduction="none").mean(dim=(2, 3))
    return (mask * error).sum() / mask.sum().clamp(min=1)


def etm_loss(logits: Tensor, is_aligned: Tensor) -> Tensor:
    """Cross-entropy of the matching decision; logits `[B, 2]`, is_aligned `[B]`, 1 = own text."""
    return F.cross_entropy(full(logits), is_aligned.long())


def ets_signs(
    is_aligned: Tensor,
    report_id: Tensor,
    text_report_id: Tensor,
    positives: str = "aligned",
    first: int = 0,
) -> Tensor:
    """y `[b, B]` (rows ECGs, columns texts): +1 where ECG i and text j belong together, else -1.

    is_aligned, report_id `[b]` of the ECGs; text_report_id `[B]` of all texts, of which those of
    the ECGs begin at `first`; b = B unless several processes share the batch.
    "aligned": the diagonal alone, where the text is the record's own. "same_report": every pair in
    which text j is the very report of ECG i, so duplicates are not pushed apart.
    """
    if positives == "same_report":
        return (report_id[:, None] == text_report_id[None, :]).float() * 2 - 1
    aligned = is_aligned.float()
    row = torch.arange(len(aligned), device=aligned.device)
    signs = aligned.new_full((len(aligned), len(text_report_id)), -1.0)
    signs[row, first + row] = 2 * aligned - 1
    return signs


def ets_loss(logits: Tensor, signs: Tensor, reduction: str = "sum") -> Tensor:
    """Sigmoid contrast, -1/B sum_ij log sigmoid(y_ij s_ij) (paper equation for L_ETS).

    logits s and signs y `[B, B]`. "sum" divides by B as the paper does, "mean" by B^2 as the
    official code has done since 26 May 2025. Of one process of several, `[b, B]`: divided by b, or
    by b B, so that the mean over the processes is the loss of the whole batch.
    """
    terms = F.softplus(-signs * full(logits))
    return terms.mean() if reduction == "mean" else terms.sum() / logits.shape[0]


def infonce_loss(logits: Tensor, signs: Tensor) -> Tensor:
    """Softmax contrast of the same pairs (CLIP, ICML 2021), where ETS takes each pair by itself.

    logits s and signs y `[B, B]` as in `ets_loss`. For the rows i with a partner, P(i) = {j: y_ij =
    +1}: L_rows = -mean_i 1/|P(i)| sum_{j in P(i)} log( exp s_ij / sum_k exp s_ik ), L_columns
    likewise, and L = (L_rows + L_columns) / 2. One partner each gives CLIP's loss, several the
    supervised form of Khosla et al. (NeurIPS 2020). ln B where all are alike; 0 without a partner.
    """
    logits = full(logits)
    together = (signs > 0).to(logits.dtype)
    return (_softmax_side(logits, together) + _softmax_side(logits.T, together.T)) / 2


def _softmax_side(logits: Tensor, together: Tensor) -> Tensor:
    """Mean over rows with a partner of log sum_k exp s_ik less the mean of its partners' s_ij."""
    partners = together.sum(dim=1)
    own = (together * logits).sum(dim=1) / partners.clamp(min=1)
    has_partner = partners > 0
    return ((logits.logsumexp(dim=1) - own) * has_partner).sum() / has_partner.sum().clamp(min=1)
