"""D-BETA's two encoders as parts of a comparison model: one vector per record, one per text."""

from torch import Tensor, nn

from dbeta_lib.comparisons.base import Comparison
from dbeta_lib.config import ECGConfig
from dbeta_lib.encoders.ecg import ECGEncoder
from dbeta_lib.encoders.text import TextEncoder, architecture_of
from dbeta_lib.inference import inference_mode
from dbeta_lib.model import DBeta


class ECGTower(nn.Module):
    """D-BETA's ECG encoder with all tokens seen: mV `[B, 12, T]` -> `[B, E]`.

    The class token, or with `ecg_pooling="mean"` the mean of all tokens.
    """

    def __init__(self, config: ECGConfig):
        super().__init__()
        self.encoder, self.features = ECGEncoder(config), config.ecg_width
        self.pooling = config.ecg_pooling

    def forward(self, ecg: Tensor) -> Tensor:
        hidden, _, _ = self.encoder(ecg, None)
        return hidden[:, 0] if self.pooling == "first" else hidden.mean(dim=1)


class WithText(Comparison):
    """A comparison model with D-BETA's text encoder: `encode_text` and `similarity` for zero-shot.

    A subclass makes `text_head`, `[B, text width]` -> `[B, D]`, D being the config's fusion_width.
    """

    def _build_text(self, load_text_weights: bool) -> None:
        text = self.config.text
        remember = self.config.objective.shows_whole_texts
        self.text_encoder = TextEncoder(text, load_text_weights, remember=remember)
        if text.text_model and load_text_weights:  # so that it can be built again
            architecture = architecture_of(self.text_encoder.model)
            self.config = self.config.replace(text_architecture=architecture)

    def text_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask `[B, L]` -> `[B, D]`; pooled as the config's text_pooling says."""
        hidden = self.text_encoder(input_ids, attention_mask)
        if self.config.text.text_pooling == "first":
            return self.text_head(hidden[:, 0])
        kept = attention_mask.to(hidden.dtype).unsqueeze(-1)
        return self.text_head((hidden * kept).sum(dim=1) / kept.sum(dim=1))

    @inference_mode
    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features `[B, D]` of token ids `[B, L]` with their mask (1 = a token)."""
        return self.text_features(input_ids.to(self.device), attention_mask.to(self.device))

    encode_text = DBeta.encode_text  # the same folding of texts, the same batches

    def similarity(self, ecg_features: Tensor, text_features: Tensor) -> Tensor:
        """Score of all pairs, `[n, D]` x `[m, D]` -> `[n, m]`: the cosine."""
        ecg_features = nn.functional.normalize(ecg_features, dim=-1)
        return ecg_features @ nn.functional.normalize(text_features, dim=-1).T
