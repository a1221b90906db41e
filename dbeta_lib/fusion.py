"""Cross-attention between text and ECG (paper section 3.2): two streams, updated together.

Each layer is self-attention, cross-attention on the other stream's input to the same layer, and a
feed-forward part, all post-norm. No positions are added here, so the shuffled order of the kept
ECG tokens is harmless.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from dbeta_lib.config import FusionConfig
from dbeta_lib.encoders.layers import Attention, init_linear
from dbeta_lib.packing import Packing, unpacked

NORM_EPS = 1e-12  # BERT's


class FusionLayer(nn.Module):
    """One stream's layer: reads itself, then the other stream."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.self_attention = Attention(width, heads, dropout)
        self.self_norm = nn.LayerNorm(width, NORM_EPS)
        self.cross_attention = Attention(width, heads, dropout)
        self.cross_norm = nn.LayerNorm(width, NORM_EPS)
        self.ffn_in = nn.Linear(width, 4 * width)
        self.ffn_out = nn.Linear(4 * width, width)
        self.ffn_norm = nn.LayerNorm(width, NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        other: Tensor,
        x_kept: Tensor | None,
        other_kept: Tensor | None,
        x_packing: Packing | None = None,
        other_packing: Packing | None = None,
        asked: Packing | None = None,
        first: int = 0,
    ) -> Tensor:
        """x `[B, n, H]`, other `[B, m, H]`; `*_kept` bool `[B, n]`, `[B, m]` or None for all.

        One with a packing is its tokens `[N, H]` alone. asked, or the first so many: the tokens of
        x to be returned, if not all: `[M, H]`, `[B, first, H]`.
        """
        whole = x
        if asked is not None:
            x = asked.pack(x_packing.unpack(x))
            attended = self.self_attention(x, whole, x_kept, asked, x_packing)
            x_packing = asked
        elif first:
            x = x[:, :first]
            attended = self.self_attention(x, whole, x_kept)
        else:
            attended = self.self_attention(x, keys_kept=x_kept, packing=x_packing)
        x = self.self_norm(self.dropout(attended) + x)
        crossed = self.cross_attention(x, other, other_kept, x_packing, other_packing)
        x = self.cross_norm(self.dropout(crossed) + x)
        return self.ffn_norm(self.dropout(self.ffn_out(F.gelu(self.ffn_in(x)))) + x)


class Fusion(nn.Module):
    """Modality embeddings and the layers of both streams."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        width, heads = config.fusion_width, config.fusion_heads
        self.modality = nn.Embedding(2, width)  # row 0: text, row 1: ECG

        def layers() -> nn.ModuleList:
            return nn.ModuleList(
                FusionLayer(width, heads, config.fusion_dropout)
                for _ in range(config.fusion_layers)
            )

        self.text_layers, self.ecg_layers = layers(), layers()
        init_linear(self, width)

    def forward(
        self,
        text: Tensor,
        ecg: Tensor,
        text_kept: Tensor | None,
        packing: Packing | None = None,
        class_token_alone: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Both streams before the first layer and after each: lists of `layers + 1` tensors.

        text `[B, L, H]`, or the tokens `[N, H]` of a packing, ecg `[B, n, H]`, text_kept bool
        `[B, L]`. The ECG stream has no padding. The last state of packed texts has padding again,
        and of the tokens those alone that the packing asks for. class_token_alone: the last layer
        gives no other token of the ECG, `[B, 1, H]`, where nothing reads the rest.
        """
        text_states, ecg_states = [text + self.modality.weight[0]], [self.ecg_start(ecg)]
        asked, first = [None] * len(self.text_layers), [0] * len(self.ecg_layers)
        if asked:
            asked[-1] = None if packing is None else packing.asked
            first[-1] = int(class_token_alone)
        for text_layer, ecg_layer, some, few in zip(
            self.text_layers, self.ecg_layers, asked, first
        ):
            text, ecg = text_states[-1], ecg_states[-1]
            text_states.append(text_layer(text, ecg, text_kept, None, packing, None, some))
            ecg_states.append(ecg_layer(ecg, text, None, text_kept, None, packing, None, few))
        text_states[-1] = unpacked(text_states[-1], [packing, *asked][-1] or packing)
        return text_states, ecg_states

    def ecg_start(self, ecg: Tensor) -> Tensor:
        """The ECG stream `[B, n, H]` before the first layer."""
        return ecg + self.modality.weight[1]
