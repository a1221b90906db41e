"""A batch of given shapes with nothing in it to be learnt: for timing and counting a step."""

import torch

from dbeta_lib.batch import IGNORED, Batch
from dbeta_lib.config import DBetaConfig


def random_batch(
    config: DBetaConfig, records: int, length: int, words: int, device: torch.device | str = "cpu"
) -> Batch:
    """`records` ECGs of noise (1 mV) with texts of `length` tokens, `words` of the batch masked."""
    draw = torch.Generator().manual_seed(0)
    vocabulary = config.text.text_architecture.get("vocab_size", config.text.text_vocabulary)
    ids = torch.randint(3, vocabulary, (records, length), generator=draw)
    labels = torch.full_like(ids, IGNORED)
    places = torch.randperm(ids.numel(), generator=draw)[:words].sort().values
    labels.view(-1)[places] = ids.view(-1)[places]
    batch = Batch(
        ecg=torch.randn(records, config.ecg.channels, config.ecg.samples, generator=draw),
        lead_mask=torch.ones(records, config.ecg.channels, dtype=torch.bool), input_ids=ids,
        attention_mask=torch.ones_like(ids), mlm_labels=labels, is_aligned=torch.ones(records),
        report_id=torch.arange(records), mlm_places=places,
        ecg_noise=torch.rand(records, config.ecg.tokens, generator=draw),
    )  # fmt: skip
    return batch.to(device)
