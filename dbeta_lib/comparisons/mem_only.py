"""A masked auto-encoder of ECGs alone: D-BETA with its MEM loss and none of the others.

A configuration and no model (after He et al., CVPR 2022): the decoder reads the ECG stream before
the fusion, so no word has a way in, and the features are the mean of the tokens, since nothing
teaches a class token. The other three losses have weight 0 and are computed for the curves only.
"""

from dbeta_lib.config import DBetaConfig
from dbeta_lib.model import DBeta


def mem_only_config(config: DBetaConfig) -> DBetaConfig:
    """`config` with MEM alone, on the whole of the batch; masking and lead dropout stay."""
    return config.replace(
        mlm_weight=0.0,
        etm_weight=0.0,
        ets_weight=0.0,
        mem_weight=1.0,
        mem_layer=0,
        ecg_pooling="mean",
        negatives="random",
        negative_fraction=0.0,
    )


def mem_only(config: DBetaConfig, tokenizer=None) -> DBeta:
    """A D-BETA of `mem_only_config(config)`; its text side stays as it was drawn."""
    return DBeta(mem_only_config(config), tokenizer)
