"""D-BETA kit: ECG-language pre-training, from recordings to zero-shot and linear probes.

>>> from dbeta_lib import DBeta, DBetaConfig
>>> model = DBeta(DBetaConfig.preset("mini"))
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Batch", "DBeta", "DBetaConfig"]

if TYPE_CHECKING:
    from dbeta_lib.batch import Batch
    from dbeta_lib.config import DBetaConfig
    from dbeta_lib.model import DBeta

_HOMES = {"Batch": "batch", "DBetaConfig": "config", "DBeta": "model"}


def __getattr__(name: str):
    # torch is imported only by who needs the model: the command line must answer without it.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"dbeta_lib.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'dbeta_lib' has no attribute '{name}'")
