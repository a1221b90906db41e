"""Parity: does this library compute what the official code computes?

`check_parity` takes a file of weights, inputs and outputs recorded from the official network and
returns how far ours are from each output.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dbeta_lib.batch import Batch
from dbeta_lib.errors import DBetaError
from dbeta_lib.losses import mem_loss, mem_target
from dbeta_lib.model import DBeta
from dbeta_lib.outputs import Streams


def load_parity_model(npz_path: str | Path) -> tuple[DBeta, dict[str, Tensor]]:
    """The model with the file's weights, in evaluation mode, and the file's other entries.

    The entries are tensors under their own names (`in/...`, `out/...`). Raises DBetaError when the
    file is absent or of another form.
    """
    path = Path(npz_path)
    if not path.is_file():
        raise DBetaError(f"{path} is not there; give a parity file (.npz)")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if "config" not in arrays or not any(name.startswith("w/") for name in arrays):
        raise DBetaError(f"{path} is no parity file: it has no 'config' or no 'w/...' entries")
    weights = {name[2:]: value for name, value in arrays.items() if name.startswith("w/")}
    model = DBeta.from_released(weights, config=json.loads(str(arrays["config"])))
    rest = {k: torch.as_tensor(v) for k, v in arrays.items() if k.startswith(("in/", "out/"))}
    return model, rest


def parity_batch(entries: dict[str, Tensor]) -> Batch:
    """The file's inputs as a batch; every lead counts as present, as the file has them zeroed."""
    ecg = entries["in/ecg"]
    rows = torch.arange(ecg.shape[0])
    return Batch(
        ecg=ecg,
        lead_mask=torch.ones(ecg.shape[:2], dtype=torch.bool),
        input_ids=entries["in/input_ids"],
        attention_mask=entries["in/attention_mask"],
        mlm_labels=entries["in/mlm_labels"],
        is_aligned=entries["in/is_aligned"],
        report_id=rows,
        text_report_id=rows,
        ecg_noise=entries["in/mask_noise"],
    )


@torch.no_grad()
def our_outputs(model: DBeta, entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our value for every `out/...` name that an official file can hold."""
    batch = parity_batch(entries)
    ours = {"out/ecg_embeddings": model.ecg_encoder.embed(batch.ecg)}
    for prefix, noise in (("out/m", batch.ecg_noise), ("out/u", None)):
        streams = model.streams(batch.ecg, batch.input_ids, batch.attention_mask, noise)
        ours |= {f"{prefix}/{k}": v for k, v in _stream_outputs(model, streams).items()}
        if noise is not None:
            ours |= {f"out/m/{k}": v for k, v in _masked_outputs(model, batch, streams).items()}
    ours |= {f"out/m/{k}": v for k, v in _losses(model, batch).items()}
    ours |= _zero_shot(model, batch.ecg, entries)
    if "in/ecg_padding_mask_standalone" in entries:
        padding = entries["in/ecg_padding_mask_standalone"]
        hidden, beyond = model.ecg_encoder.encode_padded(batch.ecg, padding)
        ours |= {"out/p/ecg_encoder": hidden, "out/p/token_padding_mask": beyond}
    return ours


def _stream_outputs(model: DBeta, s: Streams) -> dict[str, Tensor]:
    outputs = {
        "text_encoder": s.text_hidden,
        "text_proj": s.text_projected,
        "text_pooled": s.text_pooled,
        "ecg_encoder": s.ecg_hidden,
        "ecg_proj": s.ecg_projected,
        "ecg_pooled": s.ecg_pooled,
        "multi_modal_text_feats": s.text_states[-1],
        "multi_modal_ecg_feats": s.ecg_states[-1],
        "multi_text_pooled": s.text_fused,
        "multi_ecg_pooled": s.ecg_fused,
        "multi_modal_cls_feats": s.fused,
        "etm_logits": model.etm_head(s.fused),
    }
    for i in range(len(s.text_states) - 1):
        outputs[f"fusion_text_{i}"] = s.text_states[i + 1]
        outputs[f"fusion_ecg_{i}"] = s.ecg_states[i + 1]
    return outputs


def _masked_outputs(model: DBeta, batch: Batch, s: Streams) -> dict[str, Tensor]:
    mem_input = s.ecg_states[model.config.mem.mem_layer]
    mlm_logits = model.mlm_head(s.text_states[-1])
    etm_logits, labels = model.etm_head(s.fused), batch.mlm_labels
    prediction = model.mem_head(mem_input, s.restore)
    raw = mem_target(batch.ecg, s.restore.shape[1], model.config.ecg.patch, "none")
    return {
        "mem_masks": s.mask,
        "mem_ids_restore": s.restore,
        "mem_input_feats": mem_input,
        "mlm_logits": mlm_logits,
        "mem_logits": prediction,
        "mem_target": model.mem_target(batch.ecg, batch.ecg).flatten(2),
        "loss_mem_unnormalised_target": mem_loss(prediction, raw, s.mask),
        "mlm_correct": ((mlm_logits.argmax(-1) == labels) & (labels != -100)).sum(),
        "mlm_count": (labels != -100).sum(),
        "etm_correct": (etm_logits.argmax(-1) == batch.is_aligned).sum(),
    }


def _losses(model: DBeta, batch: Batch) -> dict[str, Tensor]:
    return {f"loss_{name}": value for name, value in model(batch).losses.items()}


def _zero_shot(model: DBeta, ecg: Tensor, entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each text alone and without its padding, as the official notebook does."""
    ids = entries["in/input_ids"]
    lengths = [int((row != 0).sum()) for row in ids]
    texts = [
        model.encode_tokens(row[None, :n], torch.ones(1, n))
        for row, n in zip(ids, lengths, strict=True)
    ]
    ecg_features, text_features = model.encode_ecg(ecg), torch.cat(texts)
    return {
        "out/zs/ecg_embedding": ecg_features,
        "out/zs/text_embedding": text_features,
        "out/zs/similarity": model.similarity(ecg_features, text_features),
    }


def check_parity(npz_path: str | Path) -> dict[str, float]:
    """Largest absolute difference to the official output, by the file's own `out/...` names.

    npz_path: a file with `config` (the official JSON), `w/...` weights, `in/...` inputs and
    `out/...` outputs. Padded tokens of `out/p/...` are left out. An output of another shape, or one
    that we do not compute, counts as infinitely far.
    """
    model, entries = load_parity_model(npz_path)
    ours = our_outputs(model, entries)
    real = ~entries.get("out/p/token_padding_mask", torch.zeros(1, dtype=torch.bool))
    differences = {}
    for name, official in entries.items():
        if not name.startswith("out/"):
            continue
        value = ours.get(name)
        if value is None or value.shape != official.shape:
            differences[name] = float("inf")
            continue
        gap = (value.double() - official.double()).abs()
        if name == "out/p/ecg_encoder":
            gap = gap[real]
        differences[name] = float(gap.max()) if gap.numel() else 0.0
    return differences
