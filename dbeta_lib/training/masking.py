"""Which words are hidden for masked language modelling, and what stands in their place.

The paper masks 25 % of the words; how is not stated, so the usual rule is taken: of the words to be
predicted 80 % become the mask token (T5 has none: a sentinel serves), 10 % another word, 10 % stay.
"""

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from dbeta_lib.batch import IGNORED
from dbeta_lib.encoders.text import mask_token_id


@dataclass(frozen=True)
class WordMasking:
    """The numbers that masking needs of a tokenizer.

    mask_id: int, -1 where labels are the visible ids. words: int64 `[V']`, ids that are no special
    token, ascending. probability: 0..1, share of the words to be predicted.
    """

    mask_id: int
    words: np.ndarray
    probability: float

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, probability: float, masking: str = "sentinel"
    ) -> "WordMasking":
        """masking: "sentinel", or "none" (the official code before May 2025: nothing is hidden).

        Raises DBetaError when the tokenizer has neither a mask token nor a sentinel.
        """
        words = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        return cls(mask_token_id(tokenizer) if masking == "sentinel" else -1, words, probability)

    def apply(
        self, input_ids: np.ndarray, is_token: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids with words hidden, and labels; both `[B, L]`.

        is_token: bool `[B, L]`, False = padding. Special tokens are never hidden. At least one word
        of the batch is, if it holds any, so that the loss always has something to predict.
        """
        if self.mask_id < 0:
            return input_ids, np.where(is_token, input_ids, IGNORED)
        place = np.searchsorted(self.words, input_ids).clip(max=len(self.words) - 1)
        is_word = is_token & (self.words[place] == input_ids)
        chance = np.where(is_word, rng.random(input_ids.shape), np.inf)
        chosen = chance < self.probability
        if not chosen.any() and is_word.any():
            chosen.flat[chance.argmin()] = True
        fate = rng.random(input_ids.shape)
        others = self.words[rng.integers(0, len(self.words), size=input_ids.shape)]
        hidden = np.where(chosen & (fate < 0.8), self.mask_id, input_ids)
        hidden = np.where(chosen & (fate >= 0.9), others, hidden)
        return hidden, np.where(chosen, input_ids, IGNORED)
