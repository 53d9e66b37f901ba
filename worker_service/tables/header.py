"""Whether a row reads like names for the columns below it."""

import re
from itertools import pairwise

from .nulls import ALWAYS, ERROR_CODES, IN_TYPED_COLUMNS
from .numbers import UNITS

_LOOK_ROWS = 60
_TYPED_SHARE = 0.6
_MAX_NAME_CHARS = 80
_SEQUENCE_CELLS = 5
_NUMBER = re.compile(
    r"[-+−<>≤≥]{0,2}\s?[¥￥$€£]?-?(?:\d[\d,.'’ \xa0]*|[.]\d+)(?:[eE][-+]?\d+)?\s*(?:[%％元岁]|万元?|亿元?)?$"
)
_DATE = re.compile(
    r"\d{1,4}[-/.年]\s?\d{1,2}[-/.月]\s?\d{1,4}[日号]?(?:[T ].*)?$|\d{1,2}:\d{2}(?::\d{2})?$"
    r"|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}|[〇零一二三四五六七八九]{4}年"
)
NULLS = frozenset((*ALWAYS, *IN_TYPED_COLUMNS, *ERROR_CODES))
_NAME = re.compile(
    r"(?:.*[^a-z])?(?:id|no\.?|nr\.?|name|names|date|time|year|month|day|age|sex|gender|type|code|value|status|address|city"
    r"|country|region|state|email|e-mail|phone|tel|url|number|title|description|price|amount|total|category|group|class"
    r"|comment|comments|notes?|unit|units|count|rate|score|result|weight|height|quantity|qty)(?:[^a-z].*)?$|.*(?:姓名|名称"
    r"|性别|年龄|编号|序号|日期|时间|备注|诊断|类型|数量|单位|地址|电话|科室|医院|医生|结果|项目|号码|病历号|住院号|身份证"
    r"|金额|费用|合计|状态|分组|年份|月份|身高|体重|血压|浓度|计数|评分)(?:[（(].*)?$",
    re.IGNORECASE,
)
_UNIT_SHAPE = re.compile(r"(?:[×x*]?\s?10\^?\d{1,2}/m?L|[μµunmp]?[gl]/[a-zμ]{1,3}|次/分钟?)$", re.IGNORECASE)


def kind(text: str) -> str:
    """``number``, ``date`` or ``text``."""
    if any(char.isdigit() for char in text) and _NUMBER.match(text):
        return "number"
    return "date" if _DATE.match(text) else "text"


def score(rows: list[list[str]]) -> float:
    """Above zero if the first of ``rows`` reads like names for the columns of the others."""
    top, below = rows[0], rows[1 : _LOOK_ROWS + 1]
    texts = [cell.strip() for cell in top if cell.strip()]
    all_text = all(kind(text) == "text" for text in texts)
    if not below:
        return 1.0 if all_text else -1.0
    typed = [text for text in texts if kind(text) != "text"]
    named = len(typed) < len(texts) and _is_sequence(typed)  # beside at least one name
    votes = 0.0
    for column, cell in enumerate(top):
        if text := cell.strip():
            votes += _vote("text" if named else kind(text), text, [row[column].strip() for row in below])
    if all_text:
        votes += sum(0.5 for text in texts if _NAME.match(text))
    votes -= sum(1.0 for text in texts if len(text) > _MAX_NAME_CHARS)
    if votes == 0:
        return 1.0 if all_text and len(set(texts)) == len(texts) else -1.0
    return votes


def continues(rows: list[list[str]]) -> bool:
    """Whether the first of ``rows``, below a header row, is more header: text where the rows below have none."""
    top, below = [cell.strip() for cell in rows[0]], rows[1 : _LOOK_ROWS + 1]
    if not below or any(kind(text) != "text" or text in NULLS for text in top if text):
        return False
    typed = [column for column, text in enumerate(top) if _is_typed([row[column].strip() for row in below])]
    named = [column for column in typed if top[column] and not any(char.isdigit() for char in top[column])]
    if not named or len(named) < _TYPED_SHARE * len(typed):
        return False
    if len(named) == 1 and any(char.isdigit() for text in top for char in text):
        return False
    repeated = sum(1 for column, text in enumerate(top) if text and any(row[column].strip() == text for row in below))
    return repeated * 4 <= sum(1 for text in top if text)


def are_units(row: list[str]) -> bool:
    """Whether a row holds units of measurement and, besides, at most what says that there is none."""
    texts = [text for cell in row if (text := bare_unit(cell))]
    units = sum(1 for text in texts if is_unit(text))
    return units > 0 and units * 2 >= len(texts) and all(kind(text) == "text" for text in texts)


def bare_unit(cell: str) -> str:
    """A unit without brackets around it."""
    text = cell.strip()
    if text[:1] in ("(", "（", "[", "【") and text[-1:] in (")", "）", "]", "】"):
        text = text[1:-1].strip()
    return text.removeprefix("单位：").removeprefix("单位:")


def is_unit(text: str) -> bool:
    """Whether a text is a unit of measurement or a currency."""
    return text in UNITS or bool(_UNIT_SHAPE.match(text))


def _is_typed(values: list[str]) -> bool:
    known = [value for value in values if value and value not in NULLS]
    return bool(known) and sum(1 for value in known if kind(value) != "text") >= _TYPED_SHARE * len(known)


def _vote(found: str, text: str, below: list[str]) -> float:
    values = [value for value in below if value and value not in NULLS]
    if not values:
        return 0.0
    if _is_typed(values):
        return 1.0 if found == "text" and text not in NULLS else -1.0
    if found != "text" or text in values:
        return -0.5
    return _pattern_vote(text, values)


def _pattern_vote(text: str, values: list[str]) -> float:
    """Codes and the like look all the same: a name does not look like them, one more of them does."""
    patterns = [_pattern(value) for value in values]
    usual = max(set(patterns), key=patterns.count)
    if len(values) < 2 or patterns.count(usual) < 0.8 * len(values):
        return 0.0
    if _pattern(text) != usual:
        return 1.0 if "9" in usual or "@" in usual else 0.25
    return -1.0 if "9" in usual or "@" in usual else 0.0


def _pattern(text: str) -> str:
    shape = re.sub(r"\d+", "9", text)
    shape = re.sub(r"[A-Za-z]+", "a", shape)
    return re.sub(r"[\u4e00-\u9fff]+", "字", shape)


def _is_sequence(texts: list[str]) -> bool:
    """Years one after the other, or many numbers or dates, are column names more often than values."""
    years = all(re.fullmatch(r"(?:19|20)\d\d", text) for text in texts)
    if len(texts) < (2 if years else _SEQUENCE_CELLS):
        return False
    if all(re.fullmatch(r"\d{1,4}", text) for text in texts):
        numbers = [int(text) for text in texts]
        return all(later == number + 1 for number, later in pairwise(numbers))
    dates = [re.sub(r"\d+", lambda number: number[0].zfill(4), text) for text in texts]
    return all(kind(text) == "date" for text in texts) and all(one < other for one, other in pairwise(dates))
