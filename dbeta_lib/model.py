"""D-BETA: two encoders, fusion, four heads (paper section 3).

`forward` trains; `encode_ecg` and `encode_text`, the features that probes, zero-shot and retrieval
use, stand in `inference.py`. Parts are named for what they do; `official_names.py` maps them onto
the official checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dbeta_lib import official_names
from dbeta_lib.batch import Batch
from dbeta_lib.checkpoint_files import HubFiles
from dbeta_lib.config import DBetaConfig
from dbeta_lib.encoders.ecg import ECGEncoder
from dbeta_lib.encoders.layers import init_linear, unrounded
from dbeta_lib.encoders.text import TextEncoder, architecture_of, load_tokenizer
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.fusion import Fusion
from dbeta_lib.heads import ETMHead, MEMHead, MLMHead, Pooler
from dbeta_lib.inference import Inference
from dbeta_lib.leads import LEADS, MIMIC_LEADS, order_to
from dbeta_lib.losses import (
    etm_loss,
    ets_loss,
    ets_signs,
    full,
    infonce_loss,
    mem_loss,
    mem_target,
    mlm_loss,
)
from dbeta_lib.outputs import Output, Streams
from dbeta_lib.packing import Packing, unpacked
from dbeta_lib.processes import ALONE, Processes


class DBeta(Inference, HubFiles, nn.Module):
    """ECG-text model after D-BETA (ICML 2025, arXiv 2410.02131).

    >>> model = DBeta(DBetaConfig.preset("mini"))
    >>> tuple(model.encode_ecg(torch.randn(2, 12, 1000)).shape)
    (2, 128)
    """

    def __init__(self, config: DBetaConfig, tokenizer=None, load_text_weights: bool = True):
        """config from `DBetaConfig.preset`; tokenizer for texts, looked up when first needed.

        With `load_text_weights` False a text encoder named in the config is built, not loaded;
        else its architecture replaces the one in the config, so that the model can be built again.
        """
        super().__init__()
        width = config.fusion.fusion_width
        self.ecg_encoder = ECGEncoder(config.ecg)
        self.text_encoder = TextEncoder(
            config.text, load_text_weights, remember=config.objective.shows_whole_texts
        )
        if config.text.text_model and load_text_weights:
            config = config.replace(text_architecture=architecture_of(self.text_encoder.model))
        self.config, self._tokenizer = config, tokenizer
        self._check_tokenizer()
        self.ecg_projection = _projection(config.ecg.ecg_width, width)
        self.text_projection = _projection(self.text_encoder.width, width)
        head = config.objective.ets_head
        self.ecg_pooler = Pooler(width, config.ecg.ecg_pooling, head)
        self.text_pooler = Pooler(width, config.text.text_pooling, head)
        self.fusion = Fusion(config.fusion)
        self.fused_ecg_pooler, self.fused_text_pooler = Pooler(width), Pooler(width)
        self.mlm_head = MLMHead(width, self.text_encoder.vocabulary)
        self.mem_head = MEMHead(config.ecg, config.fusion, config.mem)
        self.etm_head = ETMHead(width)
        self.ets_scale = self.ets_bias = None
        if config.objective.ets_learnable:
            self.ets_scale = nn.Parameter(torch.tensor(config.objective.ets_scale_start).log())
            self.ets_bias = nn.Parameter(torch.tensor(config.objective.ets_bias_start))
        order = order_to(MIMIC_LEADS if config.ecg.lead_order == "mimic" else LEADS)
        order = None if config.ecg.lead_order == "standard" else torch.from_numpy(order)
        self.register_buffer("_order", order, persistent=False)  # an index that needs no copying

    # -- what the encoder protocol asks for ------------------------------------------------------

    @property
    def sampling_rate(self) -> int:
        """Hz of the ECG that `encode_ecg` takes."""
        return self.config.ecg.sampling_rate

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the rows that `encode_ecg` takes."""
        return LEADS if self.config.ecg.channels == len(LEADS) else ()

    @property
    def tokens(self) -> int:
        """ECG tokens per record, without the class token."""
        return self.config.ecg.tokens

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.ecg_encoder.class_token.device

    @property
    def tokenizer(self):
        """The tokenizer; looked up by the text model's name the first time it is needed."""
        if self._tokenizer is None:
            name = self.config.text.text_model
            if not name and self.text_encoder.vocabulary == 32128:
                name = "google/flan-t5-base"
            if not name:
                raise DBetaError(
                    "this model has no tokenizer; give one: DBeta(config, tokenizer=...) or "
                    "train_tokenizer(reports)"
                )
            self._tokenizer = load_tokenizer(name)
            self._check_tokenizer()
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, value) -> None:
        self._tokenizer = load_tokenizer(str(value)) if isinstance(value, str | Path) else value
        self._check_tokenizer()

    def _check_tokenizer(self) -> None:
        rows, tokenizer = self.text_encoder.vocabulary, self._tokenizer
        if tokenizer is not None and len(tokenizer) > rows:
            raise UsageError(
                f"the tokenizer has {len(tokenizer)} pieces, the text encoder {rows} embeddings; "
                "give the tokenizer that belongs to it"
            )

    # -- the network -----------------------------------------------------------------------------

    def present(self, ecg: Tensor, lead_mask: Tensor | None) -> Tensor:
        """The ECG with absent leads zeroed, in the lead order that the stem was trained with."""
        ecg = ecg.to(self.ecg_encoder.class_token.dtype)
        if lead_mask is not None:
            ecg = ecg * lead_mask.to(ecg.dtype).unsqueeze(-1)
        return ecg if self._order is None else ecg[:, self._order]

    def text_stream(
        self, input_ids: Tensor, attention_mask: Tensor, packing: Packing | None = None
    ):
        """Hidden `[B, L, text width]`, projected `[B, L, H]`, pooled `[B, H]`.

        With a packing the first two are of the tokens alone, `[N, ...]`.
        """
        hidden = self.text_encoder(input_ids, attention_mask, packing)
        projected = self.text_projection(hidden)
        return hidden, projected, self.text_pooler(unpacked(projected, packing), attention_mask)

    def ecg_stream(self, ecg: Tensor, noise: Tensor | None, kept: int | None = None):
        """Hidden `[B, n, E]`, projected `[B, n, H]`, pooled `[B, H]`, mask and restore."""
        hidden, mask, restore = self.ecg_encoder(ecg, noise, kept)
        projected = self.ecg_projection(hidden)
        return hidden, projected, self.ecg_pooler(projected), mask, restore

    def streams(
        self,
        ecg: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        noise: Tensor | None,
        kept: int | None = None,
        packing: Packing | None = None,
        class_token_alone: bool = False,
    ) -> Streams:
        """One pass through everything but the heads; `ecg` as `present` returns it.

        noise `[B, tokens]` masks ECG tokens, all but `kept` (None: by the config); None keeps all.
        packing: texts are read and fused without their padding, and text_hidden, text_projected and
        all but the last of text_states are of the tokens `[N, ...]` alone; the last one has
        padding again, and of the tokens those that the packing asks for. class_token_alone: the
        last of ecg_states has no other token.
        """
        text_hidden, text_projected, text_pooled = self.text_stream(
            input_ids, attention_mask, packing
        )
        ecg_hidden, ecg_projected, ecg_pooled, mask, restore = self.ecg_stream(ecg, noise, kept)
        is_token = attention_mask.bool()
        text_states, ecg_states = self.fusion(
            text_projected, ecg_projected, is_token, packing, class_token_alone
        )
        return Streams(
            text_hidden,
            text_projected,
            text_pooled,
            ecg_hidden,
            ecg_projected,
            ecg_pooled,
            text_states,
            ecg_states,
            self.fused_text_pooler(text_states[-1]),
            self.fused_ecg_pooler(ecg_states[-1]),
            mask,
            restore,
        )

    def forward(self, batch: Batch, processes: Processes = ALONE) -> Output:
        """The four losses on one batch; see `Batch` for shapes and units.

        Without `batch.ecg_noise` the masking is drawn from torch's generator. processes: those that
        share a batch; ETS then contrasts the ECGs of this one's slice with the texts of all.
        """
        ecg, noise = self.seen(batch)
        streams = self._batch_streams(ecg, noise, batch)
        places = batch.places()
        masked_words = streams.text_states[-1].flatten(0, 1).index_select(0, places)
        labels = batch.mlm_labels.flatten().index_select(0, places)
        samples, mem = self._mem(
            streams.ecg_states[self.config.mem.mem_layer], streams.restore, batch.ecg, ecg
        )
        logits = {
            "mlm": self.mlm_head(masked_words),
            "mem": samples,
            "etm": self.etm_head(streams.fused),
        }
        ecg_features = streams.ecg_pooled
        if self.config.objective.ets_view == "full":
            ecg_features = self.ecg_stream(ecg, None)[2]
        logits["ets"] = self.similarity(ecg_features, processes.gather(streams.text_pooled))
        losses = {
            "mlm": mlm_loss(logits["mlm"], labels, batch.mlm_words),
            "mem": mem,
            "etm": etm_loss(logits["etm"], batch.is_aligned),
            "ets": self.ets_loss(logits["ets"], batch, processes),
        }
        losses["total"] = self.weighted(losses)
        features = {"ecg": ecg_features, "text": streams.text_pooled, "fused": streams.fused}
        return Output(losses, features, logits)

    def seen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The ECG as the stem takes it, and the noise that decides which tokens are masked."""
        ecg, noise = self.present(batch.ecg, batch.lead_mask), batch.ecg_noise
        if noise is None:
            tokens = self.config.ecg.tokens_of(ecg.shape[-1])
            noise = torch.rand(len(batch), tokens, device=ecg.device)
        return ecg, noise

    def _batch_streams(self, ecg: Tensor, noise: Tensor, batch: Batch) -> Streams:
        ids, mask, packing = batch.input_ids, batch.attention_mask, batch.packing()
        alone = not self.config.mem.reads_last_layer
        return self.streams(ecg, ids, mask, noise, packing=packing, class_token_alone=alone)

    def samples(self, streams: Streams) -> Tensor:
        """The MEM head's samples `[B, tokens, channels, patch]`, read after layer `mem_layer`."""
        return self.mem_head(streams.ecg_states[self.config.mem.mem_layer], streams.restore)

    def mem_alone(self, batch: Batch) -> Tensor:
        """The MEM loss without the others; reads no text where MEM reads the ECG before fusion."""
        ecg, noise = self.seen(batch)
        if self.config.mem.mem_layer == 0:
            _, projected, _, _, restore = self.ecg_stream(ecg, noise)
            read = self.fusion.ecg_start(projected)
        else:
            streams = self._batch_streams(ecg, noise, batch)
            read, restore = streams.ecg_states[self.config.mem.mem_layer], streams.restore
        return self._mem(read, restore, batch.ecg, ecg)[1]

    def _mem(
        self, read: Tensor, restore: Tensor, whole: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The removed tokens' samples, in the order in which the noise removed them; their loss."""
        order = restore.argsort(dim=1)
        samples = self.mem_head(read, restore, order)
        record = torch.arange(len(order), device=order.device).unsqueeze(1)
        target = self.mem_target(whole, seen)[record, order[:, read.shape[1] - 1 :]]
        return samples, mem_loss(samples, target)

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum of the four losses by their weights; a loss of weight 0 costs no gradient."""
        weights = {name: getattr(self.config.objective, f"{name}_weight") for name in losses}
        return sum(weights[name] * loss for name, loss in losses.items() if weights[name])

    def mem_target(self, whole: Tensor, seen: Tensor) -> Tensor:
        """Scaled samples `[B, tokens, channels, patch]` that the MEM head has to predict.

        From the ECG as `present` returned it (`seen`), or from the one before leads were dropped.
        """
        mem, ecg = self.config.mem, self.config.ecg
        signal = seen if mem.mem_target == "masked" else self.present(whole, None)
        return mem_target(signal, ecg.tokens_of(signal.shape[-1]), ecg.patch, mem.mem_scaling)

    def ets_loss(self, logits: Tensor, batch: Batch, processes: Processes = ALONE) -> Tensor:
        """The contrast of a batch under the config's switches: ETS, or InfoNCE in its place."""
        own, objective = batch.report_id, self.config.objective
        given = processes.gather(own if batch.text_report_id is None else batch.text_report_id)
        first = processes.rank * len(batch)
        signs = ets_signs(batch.is_aligned, own, given, objective.ets_positives, first)
        if objective.contrast == "infonce":  # its columns run over the ECGs of all processes
            return infonce_loss(processes.gather(logits), processes.gather(signs))
        return ets_loss(logits, signs, objective.ets_reduction)

    def similarity(self, ecg_features: Tensor, text_features: Tensor) -> Tensor:
        """Logits of the ETS loss for all pairs, `[n, D]` x `[m, D]` -> `[n, m]`.

        The dot product, in single precision at least; of unit vectors and with a learnt scale and
        bias where the switches say so.
        """
        with unrounded(ecg_features):
            return self._pairs(full(ecg_features), full(text_features))

    def _pairs(self, ecg_features: Tensor, text_features: Tensor) -> Tensor:
        if self.config.objective.ets_unit_vectors:
            ecg_features = nn.functional.normalize(ecg_features, dim=-1)
            text_features = nn.functional.normalize(text_features, dim=-1)
        logits = ecg_features @ text_features.T
        if self.ets_scale is not None:
            logits = logits * self.ets_scale.exp() + self.ets_bias
        return logits

    @classmethod
    def from_released(
        cls, path_or_state_dict, config=None, lead_order: str = "standard", tokenizer=None
    ) -> DBeta:
        """A model in evaluation mode with weights under the official names; contacts no hub.

        path_or_state_dict: a checkpoint file (its `model` entry, or a flat dict) or the dict
        itself, which is not changed. config: the official JSON (dict, text or file); full size when
        absent. lead_order: "standard" or "mimic". tokenizer: a tokenizer or its folder; looked up
        at the first `encode_text` when absent. Raises DBetaError listing, by official name, what is
        missing, unknown or of another shape.
        """
        state = official_names.read_state(path_or_state_dict)
        own_config = official_names.config_from_official(config).replace(lead_order=lead_order)
        model = cls(own_config, load_text_weights=False)
        official_names.load_official(model, state)
        model.tokenizer = tokenizer
        return model.eval()


def _projection(width_in: int, width_out: int) -> nn.Linear:
    linear = nn.Linear(width_in, width_out)
    init_linear(linear, width_out)
    return linear
