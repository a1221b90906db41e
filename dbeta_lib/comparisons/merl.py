"""MERL: cross-modal and uni-modal alignment (Liu et al., ICML 2024), with the kit's text encoder.

As the authors' code computes it: ResNet-18 without a max pool; a 1x1 convolution and attention
pooling for the contrast with the text; two linear layers, each with its own dropout, on the mean of
the same map for the contrast of the ECG with itself. Both are sums of two directions at a fixed
temperature of 0.07, with equal weights, and no signal is augmented. The authors read the pooler's
output of MedCPT, which is frozen in effect; here the text encoder's own pooling (config) is read,
and it is frozen where trained weights are named, else trained: a frozen random one knows nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dbeta_lib.batch import Batch
from dbeta_lib.comparisons.base import zeroed
from dbeta_lib.comparisons.contrast import info_nce
from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.comparisons.towers import WithText
from dbeta_lib.config import DBetaConfig
from dbeta_lib.outputs import Output

_STRIDES = 4  # of 2: in the stem and at the start of the last three stages


@dataclass(frozen=True)
class MERLSettings:
    """The authors' numbers; the embedding's width is the config's fusion_width (256 there)."""

    width: int = 64  # channels of the first stage; the last has eight times as many
    heads: int = 4  # of the attention pooling
    dropout: float = 0.1  # 0..1, what makes the two views differ
    temperature: float = 0.07  # fixed


class AttentionPool(nn.Module):
    """CLIP's pooling: one learnt query attends to a map `[B, n, D]` -> `[B, D]`."""

    def __init__(self, tokens: int, width: int, heads: int):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, tokens + 1, width) / width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.query.to(x.dtype).expand(len(x), -1, -1), x], dim=1) + self.positions
        return self.attention(x[:, :1], x, x, need_weights=False)[0][:, 0]


class MERL(WithText):
    """Two encoders and two contrasts; `encode_ecg` gives the embedding that lies with the texts'.

    MERL's own probes read `without_head()`: the mean of the ResNet's last map.
    """

    name = "merl"
    loss_names = ("cma", "uma", "total")
    Settings = MERLSettings

    @classmethod
    def adapted(cls, config: DBetaConfig) -> DBetaConfig:
        config = super().adapted(config)
        return config.replace(freeze_text=bool(config.text.text_model), fixed_length=True)

    def _build(self, load_text_weights: bool) -> None:
        s, joint = self.settings, self.config.fusion.fusion_width
        self._build_text(load_text_weights)
        self.resnet = ResNet18(width=s.width, sampling_rate=self.sampling_rate)
        self.resnet.stem = self.resnet.stem[:3]  # MERL's has no max pool
        tokens = self.config.ecg.samples
        for _ in range(_STRIDES):
            tokens = -(-tokens // 2)
        self.reduce = nn.Conv1d(self.resnet.features, joint, 1)
        self.pool = AttentionPool(tokens, joint, s.heads)
        self.views = nn.ModuleList(
            nn.Sequential(nn.Linear(joint, joint, bias=False), nn.Dropout(s.dropout))
            for _ in range(2)
        )
        width = self.text_encoder.width
        self.text_head = nn.Sequential(nn.Linear(width, joint), nn.GELU(), nn.Linear(joint, joint))

    def describe(self, ecg: Tensor) -> Tensor:
        return self.resnet.encode_ecg(ecg)

    def _features(self, ecg: Tensor) -> Tensor:
        return self.pool(self._map(ecg).transpose(1, 2))

    def _map(self, ecg: Tensor) -> Tensor:
        """`[B, D, tokens]`, what the attention and the mean pool."""
        return self.reduce(self.resnet.stages(self.resnet.stem(ecg)))

    def forward(self, batch: Batch) -> Output:
        """cma, uma and their sum."""
        found = self._map(zeroed(batch.ecg, batch.lead_mask))
        ecg = self.pool(found.transpose(1, 2))
        text = self.text_features(batch.input_ids, batch.attention_mask)
        one, other = (view(found.mean(dim=-1)) for view in self.views)
        scale = 1 / self.settings.temperature
        losses = {"cma": 2 * info_nce(ecg, text, scale), "uma": 2 * info_nce(one, other, scale)}
        losses["total"] = losses["cma"] + losses["uma"]
        return Output(losses, {"ecg": ecg, "text": text}, {"ecg_text": self.similarity(ecg, text)})
