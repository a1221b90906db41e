"""One seed enters; every sampler derives its own generator from it and from its purpose.

No sampler reads global random state, so a batch, a split or a bootstrap is a pure function of
(seed, purpose, epoch, index), whatever ran before it and in whichever process.
"""

import hashlib

import numpy as np


def int_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed from `seed` and the words and numbers that name the purpose."""
    text = "\x1f".join(str(part) for part in (int(seed), *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for each purpose: `rng(seed, "lead-dropout", step)`."""
    return np.random.default_rng(int_seed(seed, *purpose))
