"""Hidden states of a frozen text encoder, kept by text: each is read once, however often it comes.

Worth it where texts come back as they were, so where no word of them is hidden.
"""

from collections.abc import Callable

import torch
from torch import Tensor

LIMIT = 4 << 30  # bytes of states kept; 100,000 reports of 13 tokens at a width of 768


class StateMemory:
    """`read(input_ids, attention_mask) -> [B, L, width]`, remembered by the tokens of a text.

    A text is read alone, so that its states are the same whatever shares its batch, and a resumed
    run is the uninterrupted one. Beyond `limit` bytes texts are read anew, a batch at once. States
    of padding are zeros.
    """

    def __init__(self, read: Callable[[Tensor, Tensor], Tensor], limit: int = LIMIT):
        self.read, self.limit = read, limit
        self.clear()

    def clear(self) -> None:
        """Forget everything, as when the encoder has got other weights."""
        self.states: dict[bytes, Tensor] = {}
        self.size = 0  # bytes

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `read`; ids `[B, L]` padded on the right, mask 1 = a token."""
        lengths = attention_mask.sum(dim=1).tolist()
        rows = [ids[:n] for ids, n in zip(input_ids.cpu(), lengths)]
        found = [self._states(ids, input_ids.device) for ids in rows]
        if any(states is None for states in found):
            return self.read(input_ids, attention_mask)
        out = found[0].new_zeros(*input_ids.shape, found[0].shape[-1])
        for row, states in zip(out, found):
            row[: len(states)] = states
        return out.to(input_ids.device)

    def _states(self, ids: Tensor, device: torch.device) -> Tensor | None:
        """States `[n, width]` of one text on the CPU; None where there is no room for more."""
        key = ids.numpy().tobytes()
        if key not in self.states:
            if self.size >= self.limit:
                return None
            alone = ids[None].to(device)
            with torch.autocast(device.type, enabled=False):  # they serve in any precision
                self.states[key] = self.read(alone, torch.ones_like(alone))[0].cpu()
            self.size += self.states[key].nbytes
        return self.states[key]
