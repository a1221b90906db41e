import pandas as pd
import pytest

from dbeta_lib.data.cpsc2018 import read_reference
from dbeta_lib.data.csn import read_conditions
from dbeta_lib.data.csv_text import read_text_table
from dbeta_lib.errors import DBetaError

ODD = [",i\r\r ;t", "a,b\r\r 1", "a,b\r1,2\r\r \r3,4\r"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_the_same_with_any_line_end(tmp_path, end):
    path = tmp_path / "table.csv"
    path.write_bytes(end.join(["\ufeffname,count", "NA,007", ",1", ""]).encode())
    want = pd.DataFrame({"name": ["NA", ""], "count": ["007", "1"]})
    pd.testing.assert_frame_equal(read_text_table(path), want)


@pytest.mark.parametrize("text", ODD)
def test_lone_carriage_returns_make_no_more_rows_than_the_file_has_lines(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    assert len(read_text_table(path)) <= text.count("\r")


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("read", [read_conditions, read_reference])
def test_published_tables_with_lone_carriage_returns_are_refused_by_name(tmp_path, read, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    with pytest.raises(DBetaError, match=r"table\.csv"):
        read(path)
