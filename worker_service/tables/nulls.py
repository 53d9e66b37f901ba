"""The closed list of spellings of "no value". Changing a list means raising CLEANING_VERSION."""

import pyarrow as pa

from .bools import SPELLINGS

# Null in every column.
ALWAYS = (
    "NA", "N/A", "n/a", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "Null", "null", "\\N",
)  # fmt: skip

# Null only in a column whose other values are all numbers, all dates or all booleans.
IN_TYPED_COLUMNS = (
    "-", "--", "---", "—", "——", "－", "/", "\\", ".", "..", "...", "?", "？", "*",
    "na", "Na", "n.a.", "N.A.", "nd", "ND", "n.d.", "None", "none", "NONE", "nil", "Nil",
    "unknown", "Unknown", "UNKNOWN", "missing", "Missing",
    "not done", "Not done", "not available", "Not available",
    "无", "無", "不详", "不詳", "未知", "未查", "未测", "未測", "未做", "未检", "未检测", "未填", "未录入",
    "缺失", "缺", "空", "暂无", "待查", "不适用", "拒绝", "拒查",
)  # fmt: skip

# What a spreadsheet shows when a formula fails; text that says the same counts the same.
ERROR_CODES = (
    "#N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#GETTING_DATA",
)  # fmt: skip

# How the report names a cell of nothing but white space.
BLANK = "<blank>"


class NullTokens:
    """What is null in every column, and what in typed ones only; ``asked`` are the caller's, null in every column."""

    def __init__(self, asked: tuple[str, ...] = ()) -> None:
        self.asked = pa.array([text.strip() for text in asked], pa.string())
        self.always = pa.array(["", *ALWAYS, *self.asked.to_pylist()])
        self.typed = pa.array([*self.always.to_pylist(), *IN_TYPED_COLUMNS])
        self.words = pa.array([*self.typed.to_pylist(), *ERROR_CODES, *SPELLINGS])  # all that a list gives a meaning


LISTED = NullTokens()
ERROR_SET = pa.array(ERROR_CODES)
# "Nothing", which beside 有 (there is) is an answer.
NOTHINGS = pa.array(["无", "無"])
