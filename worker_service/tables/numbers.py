"""Numbers as people write them: separators, percent signs, currencies and units, over arrays of distinct texts."""

from enum import Enum, auto

import pyarrow as pa

from .arrow import Array, pc

INT = r"^(?:-?[1-9]\d{0,14}|0)$"
FLOAT = (
    r"^-?(?:0|[1-9]\d*)?\.\d+$"
    r"|^-?(?:0|[1-9]\d*)(?:\.\d+)?[eE][+-]\d{1,2}$"  # 1E5 without sign or point is more likely a code
    r"|^-?(?:0|[1-9]\d*)\.\d+[eE]\d{1,2}$"
    r"|^-0$"
)
SHORT_DECIMAL = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?$"
POINT_OR_GROUP = r"^-?[1-9]\d{0,2}\.\d{3}$"  # 1.234: a decimal, or a thousand of the decimal-comma countries
PERCENT = r"^-?(?:0|[1-9]\d{0,9})(?:\.\d{1,5}|,\d{1,2})?\s?[%％]$"
SEPARATED = r"^-?\d{1,15}[,.'’ \x{a0}\x{202f}][\d,.'’ \x{a0}\x{202f}]*\d$"
MAX_EXACT_CHARS = 16  # fifteen digits and a point always survive float64


class Shape(Enum):
    """How a number uses separators. Each names the only reading it allows, but GROUP_OR_COMMA, which allows two."""

    GROUP_OR_COMMA = auto()  # 1,234
    GROUPS = auto()  # 1,234,567 or 1,234.5
    FOURS = auto()  # 1,2345,6789
    COMMA = auto()  # 1,5: a decimal comma, or two answers in one cell
    COMMA_SURE = auto()  # 0,5 or 1.234,56
    POINT_GROUPS = auto()  # 1.234.567
    SPACES = auto()  # 1 234.5
    SPACES_COMMA = auto()  # 1 234,5
    APOSTROPHES = auto()  # 1'234.5


_SPACE = r"[ \x{a0}\x{202f}]"
SHAPES: dict[Shape, str] = {
    Shape.GROUP_OR_COMMA: r"^-?[1-9]\d{0,2},\d{3}$",
    Shape.GROUPS: r"^-?[1-9]\d{0,2}(?:(?:,\d{3}){2,4}(?:\.\d{1,3})?|,\d{3}\.\d{1,9})$",
    Shape.FOURS: r"^-?[1-9]\d{0,3}(?:,\d{4}){2,3}(?:\.\d{1,3})?$",
    Shape.COMMA_SURE: r"^-?(?:0,\d{1,14}|[1-9]\d{0,2}(?:\.\d{3}){1,3},\d{1,3})$",
    Shape.COMMA: r"^-?[1-9]\d{0,8},\d{1,6}$",
    Shape.POINT_GROUPS: r"^-?[1-9]\d{0,2}(?:\.\d{3}){2,4}$",
    Shape.SPACES: rf"^-?[1-9]\d{{0,2}}(?:{_SPACE}\d{{3}}){{1,4}}(?:\.\d{{1,3}})?$",
    Shape.SPACES_COMMA: rf"^-?[1-9]\d{{0,2}}(?:{_SPACE}\d{{3}}){{1,4}},\d{{1,3}}$",
    Shape.APOSTROPHES: r"^-?[1-9]\d{0,2}(?:['’]\d{3}){1,4}(?:\.\d{1,3})?$",
}
WITH_POINT = frozenset((Shape.GROUPS, Shape.FOURS, Shape.SPACES, Shape.APOSTROPHES))  # a point in these is decimal
_ONE_FOUR = r"^-?[1-9]\d{0,3},\d{4}$"

STYLES: dict[str, tuple[str, str]] = {  # what a style's groups are divided by, and its decimal mark
    "thousands": (",", "."),
    "thousands_space": (_SPACE, "."),
    "thousands_apostrophe": ("['’]", "."),
    "groups_of_four": (",", "."),
    "decimal_comma": (rf"\.|{_SPACE}", ","),
}

_SYMBOLS = (
    "US$", "HK$", "NT$", "¥", "￥", "$", "€", "£", "₩", "₽", "₹", "RMB", "CNY", "USD", "EUR", "GBP", "JPY", "HKD",
)  # fmt: skip
_SCALES = {"万": 4, "亿": 8}
_MONEY = ("元", "圆", "円", "美元", "欧元", "kr", "zł")
_UNITS = (
    "岁", "天", "周", "个月", "小时", "分钟", "秒", "次", "人", "例", "个", "次/分", "bpm",
    "kg", "g", "mg", "μg", "µg", "ug", "ng", "pg", "km", "cm", "mm", "mL", "ml", "dL", "L", "μL", "µL", "mmHg", "kPa",
    "mmol/L", "μmol/L", "µmol/L", "umol/L", "nmol/L", "pmol/L", "mol/L", "g/L", "mg/L", "μg/L", "µg/L", "ug/L", "ng/L",
    "mg/dL", "mg/dl", "g/dL", "g/dl", "ng/mL", "ng/ml", "pg/mL", "pg/ml", "μg/mL", "ug/ml", "U/L", "IU/L", "U/mL",
    "U/ml", "IU/mL", "IU/ml", "mIU/L", "mIU/mL", "mIU/ml", "×10^9/L", "10^9/L", "×10^12/L", "10^12/L", "/L", "fL", "fl",
    "s", "ms", "min", "Hz", "℃", "°C", "°F", "kcal", "kg/m2", "kg/m²", "kg/m^2", "years", "yrs", "days",
)  # fmt: skip
UNITS = frozenset((*_SYMBOLS, *_MONEY, *_UNITS, *_SCALES, *(s + m for s in _SCALES for m in _MONEY), "%", "％", "‰"))


def _either(words: tuple[str, ...]) -> str:
    """The words as alternatives, the longest first."""
    escaped = (word.replace("$", r"\$").replace("^", r"\^") for word in sorted(words, key=len, reverse=True))
    return "|".join(escaped)


_NUMBER = r"(?:0|[1-9]\d{0,2}(?:,\d{3}){1,4}|[1-9]\d{0,14})(?:\.\d{1,9})?"
_SUFFIX = rf"(?:[{''.join(_SCALES)}](?:{_either(_MONEY)})?|{_either((*_MONEY, *_SYMBOLS, *_UNITS))})"
AFFIXED = rf"^(?P<before>-?)(?P<prefix>(?:{_either(_SYMBOLS)})?)\s?(?P<number>-?{_NUMBER})\s?(?P<suffix>{_SUFFIX}?)$"


def separators(texts: Array) -> dict[Shape, Array]:
    """Which of the texts (a mask for each shape found) are numbers with separators, each in its first shape."""
    found: dict[Shape, Array] = {}
    rest = pc.match_substring_regex(texts, SEPARATED)
    if pc.any(rest, min_count=0).as_py():
        rest = pc.and_(rest, _is_exact(texts))
    for shape, pattern in SHAPES.items():
        if not pc.any(rest, min_count=0).as_py():
            break
        mask = pc.and_(rest, pc.match_substring_regex(texts, pattern))
        if pc.any(mask).as_py():
            found[shape] = mask
            rest = pc.and_not(rest, mask)
    return found


def affixed(texts: Array) -> Array:
    """A mask of the texts that are one number with a currency mark or a unit."""
    mask = pc.match_substring_regex(texts, AFFIXED)
    if not pc.any(mask, min_count=0).as_py():
        return mask
    return pc.and_not(pc.and_(mask, _is_exact(texts)), pc.match_substring_regex(texts, "-.*-"))


def _is_exact(texts: Array) -> Array:
    """Whether float64 is certain to hold all digits; those of a unit count too, which errs on the safe side."""
    return pc.less_equal(pc.utf8_length(pc.replace_substring_regex(texts, r"[^\d]", "")), MAX_EXACT_CHARS - 1)


def are_fours(texts: Array) -> bool:
    """Whether texts of shape COMMA may as well be one group of four."""
    return bool(pc.all(pc.match_substring_regex(texts, _ONE_FOUR)).as_py())


def plain(texts: Array, style: str) -> Array:
    """Texts of one style as numbers that Arrow can cast."""
    if style == "percent":  # as a power of ten, because dividing the parsed number by 100 may round twice
        return pc.replace_substring_regex(pc.replace_substring(texts, ",", "."), r"\s?[%％]$", "e-2")
    if style == "unit":
        return _without_unit(texts)
    groups, mark = STYLES[style]
    texts = pc.replace_substring_regex(texts, groups, "")
    return texts if mark == "." else pc.replace_substring(texts, mark, ".")


def affixes(texts: Array) -> list[str]:
    """The distinct currency marks or units that AFFIXED texts bear; "" for what bears none or two."""
    parts = pc.extract_regex(texts, AFFIXED)
    prefix, suffix = parts.field("prefix"), parts.field("suffix")
    both = pc.and_(pc.not_equal(prefix, ""), pc.not_equal(suffix, ""))
    joined = pc.if_else(both, "", pc.binary_join_element_wise(prefix, suffix, ""))
    found: list[str] = pc.unique(joined).to_pylist()
    return found


def scale(unit: str) -> int:
    """The power of ten that a unit such as 万元 stands for."""
    return _SCALES.get(unit[:1], 0)


def _without_unit(texts: Array) -> Array:
    parts = pc.extract_regex(texts, AFFIXED)
    # Not parts.field(…), which gives empty texts where there is no match.
    sign, number = pc.struct_field(parts, "before"), pc.replace_substring(pc.struct_field(parts, "number"), ",", "")
    powers = pc.utf8_slice_codeunits(pc.struct_field(parts, "suffix"), 0, 1)
    power = pa.nulls(len(texts), pa.string()).fill_null("")
    for word, exponent in _SCALES.items():
        power = pc.if_else(pc.equal(powers, word), f"e{exponent}", power)
    return pc.binary_join_element_wise(sign, number, power, "")


def inexact(texts: Array) -> Array:
    """Those long decimals that float64 cannot give back digit for digit."""
    printed = pc.cast(pc.cast(texts, pa.float64()), pa.string())
    doubtful = texts.filter(pc.not_equal(printed, texts))
    return pa.array([text for text in doubtful.to_pylist() if not _round_trips(text)], pa.string())


def _round_trips(text: str) -> bool:
    """Whether the shortest text of the float has the same digits."""
    return _digits(repr(float(text))) == _digits(text)


def _digits(text: str) -> tuple[str, int]:
    """Significant digits without sign, and the power of ten of the last one."""
    mantissa, _, exponent = text.lower().lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return "", 0
    return significant, int(exponent or 0) - len(fraction) + len(digits) - len(significant)
