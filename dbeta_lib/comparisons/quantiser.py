"""Product quantisation by Gumbel softmax (wav2vec 2.0, NeurIPS 2020, section 2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Quantiser(nn.Module):
    """Each token becomes `groups` code words side by side, one of `entries` in each group.

    What transformers' `Wav2Vec2GumbelVectorQuantizer` computes, without its intermediate of tokens
    x words x width, which takes gigabytes.
    """

    def __init__(self, features: int, groups: int, entries: int, width: int):
        super().__init__()
        self.groups, self.entries = groups, entries
        self.logits = nn.Linear(features, groups * entries)
        self.words = nn.Parameter(torch.rand(groups, entries, width // groups))
        nn.init.normal_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, x: Tensor, masked: Tensor, temperature: Tensor | float):
        """Tokens `[B, T, features]` -> words `[B, T, width]`, and the words' perplexity.

        Drawn at `temperature` in training (straight through), the likeliest otherwise. Perplexity:
        sum over groups of exp(entropy) of the mean probability over tokens of mask `[B, T]`,
        1..groups * entries: how many words are in use.
        """
        logits = self.logits(x).unflatten(-1, (self.groups, self.entries)).float()
        if self.training:
            chosen = F.gumbel_softmax(logits, tau=temperature, hard=True)
            shares = logits.softmax(dim=-1)
        else:
            chosen = shares = F.one_hot(logits.argmax(dim=-1), self.entries).to(logits.dtype)
        words = torch.einsum("btgv,gvd->btgd", chosen.to(self.words.dtype), self.words).flatten(2)
        mean = shares[masked].mean(dim=0)
        return words, torch.xlogy(mean, mean).sum(dim=-1).neg().exp().sum()
