"""The bytes of cells are those that the protobuf library makes of them."""

from datetime import date
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingest_service.reads.cells import encode_rows
from tablemill.v1 import data_service_pb2 as pb

_TEXT = st.text(max_size=20) | st.integers(1000, 1030).map(lambda length: "x" + "文é"[length % 2] * (length // 2))
_KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), _TEXT),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float64": (pa.float64(), st.floats(allow_nan=False)),
    "bool": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates()),
    "timestamp": (pa.timestamp("us"), st.datetimes()),
}


def _cell(kind: str, value: Any) -> pb.Cell:
    if isinstance(value, date):
        value = value.isoformat()
    elif isinstance(value, str):
        value = value.encode()[:1024].decode(errors="ignore")
    return pb.Cell() if value is None else pb.Cell(**{kind: value})


@given(st.data())
def test_rows_are_encoded_as_the_library_does(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(_KINDS)), min_size=1, max_size=6))
    row_count = data.draw(st.integers(1, 4))
    columns = [
        data.draw(st.lists(st.none() | _KINDS[kind][1], min_size=row_count, max_size=row_count)) for kind in kinds
    ]
    arrays = [pa.array(values, _KINDS[kind][0]) for kind, values in zip(kinds, columns, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, names=[str(place) for place in range(len(kinds))])
    rows = [
        pb.Row(cells=[_cell(kind, value) for kind, value in zip(kinds, values, strict=True)])
        for values in zip(*columns, strict=True)
    ]
    assert b"".join(encode_rows([batch])) == pb.PreviewRecordResponse(rows=rows).SerializeToString()
