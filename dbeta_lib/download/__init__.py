"""Getting the published data: fetch a dataset, or check a copy fetched otherwise.

>>> from dbeta_lib.download import download, verify
>>> download("ptb-xl", "ptb-xl-1.0.3", hz=100)  # doctest: +SKIP
"""

from dbeta_lib.download.catalogue import CATALOGUE
from dbeta_lib.download.run import download
from dbeta_lib.download.summary import Summary
from dbeta_lib.download.verify import verify

__all__ = ["CATALOGUE", "Summary", "download", "verify"]
