"""Widgets for JupyterLab: a line each, such as `widgets.explorer(store)` or `widgets.ask(store)`.

Those that ask a model take the one in the box where none is given, and say so.
Each has a pure `draw(...)` in its module, which needs no browser; `shell` is what they share.
"""

from dbeta_lib.reporting.widgets.ask import ask
from dbeta_lib.reporting.widgets.embedding_map import embedding_map
from dbeta_lib.reporting.widgets.explorer import explorer
from dbeta_lib.reporting.widgets.leads import leads
from dbeta_lib.reporting.widgets.negatives import negatives
from dbeta_lib.reporting.widgets.predict import predict
from dbeta_lib.reporting.widgets.reconstruction import reconstruction
from dbeta_lib.reporting.widgets.run_monitor import run_monitor
from dbeta_lib.reporting.widgets.why import why

__all__ = [
    "ask",
    "embedding_map",
    "explorer",
    "leads",
    "negatives",
    "predict",
    "reconstruction",
    "run_monitor",
    "why",
]
