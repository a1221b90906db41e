"""Tables as parquet files: bytes that depend on the content alone, and little memory on the way."""

import os
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet

from dbeta_lib.errors import DBetaError

_ROWS_WRITTEN = 65_536  # at a time


def read_table(path: Path) -> tuple[pd.DataFrame, dict]:
    """A parquet file as DataFrame, and the notes stored in it.

    Column by column: of 800,000 rows all of them at once would be 370 MB more while they are read.
    """
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names, notes = file.schema_arrow.names, file.schema_arrow.metadata or {}
            columns = {name: file.read([name]).column(0).to_pandas() for name in names}
    except (OSError, pyarrow.ArrowException) as error:
        raise DBetaError(f"{path} is unreadable ({error}); prepare the store again") from error
    notes = {key.decode(): value.decode() for key, value in notes.items()}
    return pd.DataFrame(columns, copy=False), notes


def write_table(path: Path, frame: pd.DataFrame, notes: dict[str, str] | None = None) -> None:
    """Write parquet whose bytes depend on the content alone (no pandas metadata, no threads).

    In blocks: of 800,000 rows a whole copy would be half a gigabyte.
    """
    schema = pyarrow.Schema.from_pandas(frame, preserve_index=False)
    schema = schema.with_metadata(notes or {})
    with open(path, "wb") as file:
        with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for start in range(0, max(len(frame), 1), _ROWS_WRITTEN):
                part = frame.iloc[start : start + _ROWS_WRITTEN]
                writer.write_table(
                    pyarrow.Table.from_pandas(part, schema, preserve_index=False, nthreads=1)
                )
        file.flush()
        os.fsync(file.fileno())
