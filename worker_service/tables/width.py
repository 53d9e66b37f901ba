"""Full-width forms as Chinese and Japanese keyboards make them: ``１２．５％`` says the same as ``12.5%``."""

import pyarrow as pa

from .arrow import Array, pc

_FOLDED = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0x2212: 0x2D}
_WIDE = r"[\x{ff01}-\x{ff5e}\x{3000}\x{2212}]"
# Only what may become a number, a date or a word of the lists: prose keeps its punctuation and is left alone.
FOLDABLE = rf"^(?:{_WIDE}|[ -~年月日号时分秒点上下午元万亿岁¥￥])+$"


def foldable(texts: Array) -> Array:
    """A mask of the texts that hold full-width characters and may be more than text."""
    mask = pc.match_substring_regex(texts, _WIDE)
    if not pc.any(mask, min_count=0).as_py():
        return mask
    return pc.and_(mask, pc.match_substring_regex(texts, FOLDABLE))


def folded(texts: Array) -> Array:
    """The texts in half-width characters. Meant for distinct values: works one by one."""
    return pa.array(
        [None if text is None else text.translate(_FOLDED).strip() for text in texts.to_pylist()], pa.string()
    )
