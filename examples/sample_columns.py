"""The columns of the sample workbook: what each is called and how its cells come to be messy.

Every oddity here was met in real clinical exports. All people and numbers are invented: the identity numbers
use a region code that does not exist.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from examples.sample_xlsx import (
    CHINESE_DATE_STYLE,
    DATE_TIME_STYLE,
    Cell,
    ErrorCell,
    Formula,
    Serial,
)

NULL_TOKENS = ("NA", "-", "无", "", "N/A")
_DATE_FORMS = ("{0}-{1:02d}-{2:02d}", "{0}/{1}/{2}", "{0}年{1}月{2}日", "{0}{1:02d}{2:02d}", "{0}.{1}.{2}")
_SERIAL_OF_2021 = 44197
_LABS = (
    "白细胞计数", "红细胞计数", "血红蛋白", "血小板计数", "中性粒细胞百分比", "淋巴细胞百分比",
    "谷丙转氨酶", "谷草转氨酶", "总胆红素", "白蛋白", "肌酐", "尿素氮", "尿酸", "空腹血糖",
    "糖化血红蛋白", "总胆固醇", "甘油三酯", "高密度脂蛋白", "低密度脂蛋白", "钾", "钠", "氯", "钙",
    "超敏C反应蛋白", "降钙素原", "肌钙蛋白I", "脑钠肽前体", "D-二聚体", "凝血酶原时间", "纤维蛋白原",
    "乳酸脱氢酶", "肌酸激酶同工酶", "同型半胱氨酸", "促甲状腺激素", "甲胎蛋白", "癌胚抗原",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay in hospital: a row of the sheet. Dates are spreadsheet serials."""

    patient: int
    number: int
    age: int
    male: bool
    birth_day: int
    admission_day: int
    stay_days: int
    row_number: int


Maker = Callable[[Random, Visit], Cell]


@dataclass(frozen=True, slots=True)
class SampleColumn:
    """A column: `group` is the upper header when it has two, `per_patient` cells are merged over visits."""

    name: str
    make: Maker
    group: str = ""
    per_patient: bool = False
    summed: bool = False


def columns_of_sample(count: int) -> list[SampleColumn]:
    """Return the first `count` columns: fixed ones about the stay, then laboratory values without end."""
    return list(itertools.islice(itertools.chain(_stay_columns(), _lab_columns()), count))


def _stay_columns() -> Iterator[SampleColumn]:
    yield SampleColumn("患者编号", lambda _, v: f"{v.patient:08d}", per_patient=True)
    yield SampleColumn("姓名", lambda _, v: f"患者{v.patient:04d}", per_patient=True)
    yield SampleColumn("身份证号", _identity_number, per_patient=True)
    yield SampleColumn("住院次数", lambda _, v: v.number)
    yield SampleColumn("性别", lambda r, v: r.choices(("男", " 男 ", "M"), (94, 4, 2))[0] if v.male else "女")
    yield SampleColumn("年龄", lambda r, v: v.age if r.random() < 0.6 else str(v.age))
    yield SampleColumn("出生日期", lambda r, v: _date_text(r, v.birth_day))
    yield SampleColumn("入院日期", lambda _, v: Serial(v.admission_day))
    yield SampleColumn("出院日期", _discharge)
    yield SampleColumn("住院天数", lambda _, v: v.stay_days, summed=True)
    yield SampleColumn("确诊日期", lambda _, v: Serial(v.admission_day + 1, CHINESE_DATE_STYLE))
    yield SampleColumn("采样时间", _sampled_at)
    yield SampleColumn("收缩压", _measure(132, 18, 0, text_share=0.2, null_share=0.03), "血压(mmHg)")
    yield SampleColumn("舒张压", _measure(80, 11, 0, text_share=0.2, null_share=0.03), "血压(mmHg)")
    yield SampleColumn("身高(cm)", lambda r, _: round(r.gauss(166, 8), 1), "体格检查")
    yield SampleColumn("体重(kg)", lambda r, _: round(r.gauss(67, 11), 1), "体格检查")
    yield SampleColumn("BMI", _body_mass_index, "体格检查")
    yield SampleColumn("心率", _measure(78, 12, 0, null_share=0.01), "体格检查")
    yield SampleColumn("吸烟史", lambda r, _: r.choices(("有", "无"), (35, 65))[0])
    yield SampleColumn("饮酒史", lambda r, _: r.choices(("是", "否"), (30, 70))[0])
    yield SampleColumn("高血压", lambda r, _: r.random() < 0.5)
    yield SampleColumn("主要诊断", _diagnosis)
    yield SampleColumn("总费用(元)", lambda r, _: f"{r.uniform(3000, 180000):,.2f}", "费用", summed=True)
    yield SampleColumn("药费(元)", lambda r, _: f"¥{r.uniform(500, 40000):,.2f}", "费用")
    yield SampleColumn("自付比例", lambda r, _: f"{r.uniform(5, 95):.1f}%", "费用")
    yield SampleColumn("医保编号", lambda r, _: f"00{r.randrange(10**10):010d}")
    yield SampleColumn("科室代码", lambda r, _: f"{r.randrange(1, 40):03d}")
    yield SampleColumn("医院", lambda _r, _v: "示范市中心医院")
    yield SampleColumn("备用字段", lambda _r, _v: None)
    yield SampleColumn("HBsAg", _mixed_titre)
    yield SampleColumn("射血分数", _measure(58, 9, 0, text_share=1.0, suffix="%", null_share=0.05))
    yield SampleColumn("评分", lambda r, _: r.choice("０１２３４５６"))
    for follow_up in ("3个月随访", "6个月随访", "12个月随访"):
        yield SampleColumn("随访日期", _follow_up_date, follow_up)
        yield SampleColumn("结局", lambda r, _: r.choice(("好转", "稳定", "恶化", "失访", None)), follow_up)
    yield SampleColumn("备注", _note)
    yield SampleColumn("备注", lambda r, _: "复核" if r.random() < 0.01 else None)
    yield SampleColumn("备注", lambda r, _: r.choice((None, "NA", "无")))


def _lab_columns() -> Iterator[SampleColumn]:
    for number in itertools.count():
        again, lab = divmod(number, len(_LABS))
        group = _LABS[lab] + (f"(复查{again})" if again else "")
        mean = 2.0 + lab * 3.7
        for moment, name in enumerate(("入院", "出院", "复诊")):
            yield SampleColumn(name, _lab_maker((number + moment) % 6, mean), group)


def _lab_maker(kind: int, mean: float) -> Maker:
    """Return one of the six ways in which laboratory systems export a number."""
    spread = mean / 4
    match kind:
        case 0:
            return _measure(mean, spread, 2)
        case 1:
            return _measure(mean, spread, 2, text_share=1.0, null_share=0.08)
        case 2:
            return _measure(mean, spread, 1, text_share=0.3, null_share=0.25)
        case 3:
            return _measure(mean, spread, 2, limit_share=0.06, null_share=0.02)
        case 4:
            return _measure(mean * 1000, spread * 1000, 0, text_share=1.0, thousands=True)
        case _:
            return _measure(mean, spread, 3, error_share=0.0005, null_share=0.4)


def _measure(
    mean: float,
    spread: float,
    decimals: int,
    *,
    text_share: float = 0.0,
    null_share: float = 0.0,
    limit_share: float = 0.0,
    error_share: float = 0.0,
    thousands: bool = False,
    suffix: str = "",
) -> Maker:
    separator = "," if thousands else ""

    def make(random: Random, _visit: Visit) -> Cell:
        kind = random.random()
        if kind < null_share:
            return random.choice(NULL_TOKENS) or None
        value = round(abs(random.gauss(mean, spread)), decimals)
        if kind < null_share + limit_share:
            return f"{random.choice('<>')}{value:.{decimals}f}"
        if kind > 1 - error_share:
            return ErrorCell("#N/A")
        if random.random() < text_share:
            return f"{value:{separator}.{decimals}f}{suffix}"
        return int(value) if decimals == 0 else value

    return make


def _identity_number(random: Random, visit: Visit) -> Cell:
    born = _calendar(visit.birth_day)
    check = random.choice("0123456789X")
    return f"990000{born[0]:04d}{born[1]:02d}{born[2]:02d}{visit.patient % 1000:03d}{check}"


def _date_text(random: Random, day: int) -> str:
    year, month, day_of_month = _calendar(day)
    return random.choice(_DATE_FORMS).format(year, month, day_of_month)


def _discharge(random: Random, visit: Visit) -> Cell:
    day = visit.admission_day + visit.stay_days
    kind = random.random()
    if kind < 0.02:
        return random.choice(NULL_TOKENS) or None
    return Serial(day) if kind < 0.5 else _date_text(random, day)


def _sampled_at(random: Random, visit: Visit) -> Cell:
    second = random.randrange(86400)
    if random.random() < 0.7:
        return Serial(visit.admission_day + second / 86400, DATE_TIME_STYLE)
    year, month, day = _calendar(visit.admission_day)
    hour, minute = divmod(second // 60, 60)
    return f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}"


def _body_mass_index(random: Random, visit: Visit) -> Cell:
    if random.random() < 0.001:
        return ErrorCell("#DIV/0!")
    row = visit.row_number
    return Formula(f"P{row}/(O{row}/100)^2", round(random.gauss(24, 3), 2))


def _mixed_titre(random: Random, _visit: Visit) -> Cell:
    kind = random.random()
    if kind < 0.35:
        return "<0.5"
    if kind < 0.6:
        return random.choice(("阴性", "阳性(+)", "弱阳性"))
    return round(random.uniform(0.5, 250), 2)


def _diagnosis(random: Random, _visit: Visit) -> Cell:
    first = random.choice(("冠心病", "高血压3级", "2型糖尿病", "心力衰竭", "房颤", "急性心肌梗死"))
    second = random.choice(("", "，高脂血症", "；慢性肾病", "\n肺部感染", ', "待查"'))
    return first + second


def _follow_up_date(random: Random, visit: Visit) -> Cell:
    if random.random() < 0.15:
        return random.choice(("失访", "NA", "-", None))
    return _date_text(random, visit.admission_day + 30 * random.randrange(2, 13))


def _note(random: Random, _visit: Visit) -> Cell:
    if random.random() < 0.7:
        return None
    return f"  家属要求{random.choice(('转院', '复查', '会诊'))}，已告知风险 "


def _calendar(serial: int) -> tuple[int, int, int]:
    day = date(1899, 12, 30) + timedelta(days=serial)
    return day.year, day.month, day.day


def make_visit(random: Random, patient: int, number: int, previous: Visit | None, row_number: int) -> Visit:
    """Return the next visit of a patient; `previous` is the visit before it, if there was one."""
    if previous is None:
        age = random.randrange(18, 92)
        admission = _SERIAL_OF_2021 + random.randrange(900)
        male = random.random() < 0.55
        birth = admission - age * 365 - random.randrange(365)
    else:
        age, male, birth = previous.age, previous.male, previous.birth_day
        admission = previous.admission_day + previous.stay_days + random.randrange(20, 90)
    return Visit(patient, number, age, male, birth, admission, random.randrange(1, 31), row_number)
