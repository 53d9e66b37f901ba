"""Draws spreadsheets as people lay them out, and says where their tables are."""

from dataclasses import dataclass, field
from random import Random

from worker_service.tables.grid import HEAD_ROWS, Merge

_TEXT_NAMES = ["姓名", "科室", "诊断", "Name", "City", "品名", "Species", "备注", "Ward", "Colour", "operator", "厂家"]
_TYPED_NAMES = [
    "年龄",
    "收缩压",
    "白细胞",
    "Price",
    "Qty",
    "血糖",
    "Temp",
    "Score",
    "mean",
    "PLT",
    "入组日期",
    "Visit date",
]
_WORDS = [
    "张三",
    "李四",
    "王五",
    "心内科",
    "肺炎",
    "London",
    "Paris",
    "blue",
    "red",
    "Quercus",
    "阴性",
    "正常",
    "x",
    "ok",
]
_TITLES = ["2024年住院患者汇总表", "Quarterly report", "Export of 3 March 2024", "Confidential", "表1 患者基本资料"]
_UNITS = ["mmHg", "kg", "(mmol/L)", "岁", "元", "g/L"]


@dataclass
class Layout:
    """A grid, and the truth about it: indices of the header's rows, of a row of units, and of the first body row."""

    head: list[list[str]]
    header: tuple[int, ...]
    first_body: int
    kind: str
    merges: list[Merge] = field(default_factory=list)

    @property
    def width(self) -> int:
        return len(self.head[0])

    @property
    def head_rows(self) -> list[int]:
        return list(range(1, len(self.head) + 1))


def draw(random: Random) -> Layout:
    """One layout of a random kind."""
    kind = random.choice(sorted(_KINDS))
    return _KINDS[kind](random, kind)


def _columns(random: Random, at_least: int = 2) -> list[str]:
    width = random.randint(at_least, 9)
    typed = random.randint(1, width)
    kinds = ["typed"] * typed + ["text"] * (width - typed)
    random.shuffle(kinds)
    return kinds


def _names(random: Random, kinds: list[str]) -> list[str]:
    pools = {"typed": random.sample(_TYPED_NAMES, 12), "text": random.sample(_TEXT_NAMES, 12)}
    return [pools[kind].pop() for kind in kinds]


def _body(random: Random, kinds: list[str], rows: int | None = None) -> list[list[str]]:
    dates = random.random() < 0.2
    return [
        [_value(random, kind, dates) for kind in kinds] for _ in range(rows or random.randint(4, min(60, HEAD_ROWS)))
    ]


def _value(random: Random, kind: str, dates: bool) -> str:
    if random.random() < 0.08:
        return random.choice(["", "NA", "-"])
    if kind == "text":
        return random.choice(_WORDS)
    if dates:
        return f"2024-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    if random.random() < 0.05:
        return "<0.5"
    return random.choice([str(random.randint(0, 500)), f"{random.random() * 100:.2f}"])


def _row(cells: list[str], width: int) -> list[str]:
    return cells + [""] * (width - len(cells))


def _plain(random: Random, kind: str) -> Layout:
    kinds = _columns(random)
    return Layout([_names(random, kinds), *_body(random, kinds)], (0,), 1, kind)


def _titled(random: Random, kind: str) -> Layout:
    kinds = _columns(random, 3)
    width = len(kinds)
    above = [_row([title], width) for title in random.sample(_TITLES, random.randint(1, 3))]
    if random.random() < 0.5:
        above.append(_row([], width))
    start = len(above)
    return Layout([*above, _names(random, kinds), *_body(random, kinds)], (start,), start + 1, kind)


def _pairs(random: Random, kind: str) -> Layout:
    kinds = _columns(random, 4)
    width = len(kinds)
    pairs = [
        ["医院：", "市中心医院"],
        ["科室:", "心内科"],
        ["Date:", "2024-03-05"],
        ["操作员：", "王五"],
        ["Device:", "A7"],
    ]
    chosen = random.sample(pairs, random.randint(1, 4))
    above = [_row(pair, width) for pair in chosen]
    if random.random() < 0.4:
        above = [_row(chosen[0] + (chosen[1] if len(chosen) > 1 else []), width)]
    if random.random() < 0.6:
        above.append(_row([], width))
    start = len(above)
    return Layout([*above, _names(random, kinds), *_body(random, kinds)], (start,), start + 1, kind)


def _two_rows_merged(random: Random, kind: str) -> Layout:
    kinds = _columns(random, 4)
    kinds[-2:] = ["typed", "typed"]
    width, names = len(kinds), _names(random, kinds)
    top = [*names[:-2], "血压", ""]
    second = [""] * (width - 2) + ["收缩压1", "舒张压1"]
    second[-2:] = ["高压", "低压"]
    merges = [Merge(1, 1, width - 2, width - 1)] + [Merge(1, 2, column, column) for column in range(width - 2)]
    return Layout([top, second, *_body(random, kinds)], (0, 1), 2, kind, merges)


def _two_rows_gappy(random: Random, kind: str) -> Layout:
    kinds = ["text", *["typed"] * (2 * random.randint(1, 3))]
    top = ["", *(cell for number in range(len(kinds) // 2) for cell in (f"{'甲乙丙'[number]}组", ""))]
    second = ["姓名", *(["均值", "标准差"] * (len(kinds) // 2))]
    return Layout([top, second, *_body(random, kinds)], (0, 1), 2, kind)


def _two_languages(random: Random, kind: str) -> Layout:
    kinds = ["text", "typed", "typed", "text"]
    return Layout(
        [["姓名", "年龄", "体重", "科室"], ["name", "age", "weight", "ward"], *_body(random, kinds)], (0, 1), 2, kind
    )


def _units(random: Random, kind: str) -> Layout:
    kinds = ["text", *["typed"] * random.randint(2, 5)]
    units = ["", *(random.choice(_UNITS) for _ in kinds[1:])]
    return Layout([_names(random, kinds), units, *_body(random, kinds)], (0,), 2, kind)


def _headless(random: Random, kind: str) -> Layout:
    kinds = _columns(random, 3)
    body = _body(random, kinds)
    first = [_value(random, kind, False) or "7" for kind in kinds]
    typed = next(index for index, kind in enumerate(kinds) if kind == "typed")
    first[typed] = "12"
    return Layout([first, *body], (), 0, kind)


def _codes_only(random: Random, kind: str) -> Layout:
    """Nothing but text; a column of codes tells names from values."""
    rows = [[f"P{number:03}", random.choice(_WORDS), random.choice(_WORDS)] for number in range(random.randint(3, 30))]
    if random.random() < 0.5:
        return Layout([["病人", "科别", "所见"], *rows], (0,), 1, kind)
    return Layout(rows, (), 0, kind)


def _years(random: Random, kind: str) -> Layout:
    width = random.randint(3, 8)
    rows = [[random.choice(_WORDS), *(f"{random.random() * 9:.1f}" for _ in range(width))] for _ in range(12)]
    return Layout([["Region", *(str(2010 + number) for number in range(width))], *rows], (0,), 1, kind)


def _sparse(random: Random, kind: str) -> Layout:
    """A wide clinical sheet: most cells are empty, above all in the first rows."""
    width = random.randint(20, 60)
    names = ["ID", "日期", *(f"指标{chr(65 + number % 26)}{'一二三'[number // 26]}" for number in range(width - 2))]
    rows = [
        [
            str(number),
            "2024-01-02",
            *(f"{random.random():.2f}" if random.random() < 0.1 else "" for _ in range(width - 2)),
        ]
        for number in range(1, 60)
    ]
    return Layout([names, *rows], (0,), 1, kind)


def _short(random: Random, kind: str) -> Layout:
    kinds = _columns(random)
    return Layout([_names(random, kinds), *_body(random, kinds, random.randint(1, 2))], (0,), 1, kind)


_KINDS = {
    "plain": _plain, "titled": _titled, "pairs": _pairs, "two_rows_merged": _two_rows_merged,
    "two_rows_gappy": _two_rows_gappy, "two_languages": _two_languages, "units": _units, "headless": _headless,
    "codes_only": _codes_only, "years": _years, "sparse": _sparse, "short": _short,
}  # fmt: skip
