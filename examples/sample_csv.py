"""Writes a messy CSV file of any size at the speed of the disk and in constant memory."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

CSV_COLUMNS = (
    "流水号", "患者编号", "性别", "年龄", "入院日期", "出院日期", "主要诊断", "收缩压", "舒张压", "白细胞计数",
    "肌钙蛋白I", "总费用(元)", "自付比例", "科室代码", "医院", "备用字段", "备注",
)  # fmt: skip
_BLOCK_ROWS = 5000
_BLOCK_MARK = b"########"
_HEADER = (",".join(CSV_COLUMNS) + "\r\n").encode()
_SEED = 20240305


@dataclass(frozen=True, slots=True)
class CsvFacts:
    """What is in a sample CSV file: `rows` counts the data rows, without the header."""

    path: Path
    rows: int
    columns: int
    size_bytes: int


def write_sample_csv(path: Path, size_bytes: int) -> CsvFacts:
    """Write a UTF-8 CSV file of exactly `size_bytes` (at least 4 KiB).

    A block of some thousand messy rows repeats, each time with new serial numbers; a longer note in the last
    row makes the size exact.
    """
    if size_bytes < 4096:
        raise ValueError(f"a sample CSV needs at least 4096 bytes, not {size_bytes}")
    lines = _make_block()
    block = b"".join(lines)
    rows = number = 0
    with path.open("wb") as file:
        rest_bytes = size_bytes - file.write(_HEADER)
        while rest_bytes >= len(block) + 1024:
            rest_bytes -= file.write(block.replace(_BLOCK_MARK, b"%08d" % number))
            rows += len(lines)
            number += 1
        tail = []
        for line in lines:
            if rest_bytes < len(line) + 1024:
                break
            tail.append(line)
            rest_bytes -= len(line)
        last = lines[len(tail) % len(lines)].rstrip(b"\r\n")
        tail.append(last + b"x" * (rest_bytes - len(last) - 2) + b"\r\n")
        file.write(b"".join(tail).replace(_BLOCK_MARK, b"%08d" % number))
    return CsvFacts(path, rows + len(tail), len(CSV_COLUMNS), size_bytes)


def _make_block() -> list[bytes]:
    random = Random(_SEED)
    return [_make_line(random, number) for number in range(_BLOCK_ROWS)]


def _make_line(random: Random, number: int) -> bytes:
    year, month, day = random.randrange(2021, 2024), random.randrange(1, 13), random.randrange(1, 28)
    fields = (
        f"{_BLOCK_MARK.decode()}{number:04d}",
        f"{random.randrange(10**6):08d}",
        random.choice(("男", "女", "女 ")),
        random.choice((str(random.randrange(18, 92)), "-")) if number % 20 == 0 else str(number % 74 + 18),
        f"{year}-{month:02d}-{day:02d}",
        random.choice((f"{year}/{month}/{day + 1}", f"{year}年{month}月{day + 1}日", f"{year}{month:02d}{day:02d}")),
        random.choice(("冠心病", '"高血压3级, 极高危"', '"心衰 ""待查"""', "2型糖尿病")),
        str(round(random.gauss(132, 18))),
        random.choice((str(round(random.gauss(80, 11))), "NA")) if number % 9 == 0 else str(70 + number % 30),
        f"{abs(random.gauss(7, 2)):.2f}",
        random.choice(("<0.01", f"{abs(random.gauss(1, 0.8)):.3f}")),
        f'"{random.uniform(3000, 180000):,.2f}"',
        f"{random.uniform(5, 95):.1f}%",
        f"{random.randrange(1, 40):03d}",
        "示范市中心医院",
        "",
        random.choice(("", "无", "家属要求复查")),
    )
    return ",".join(fields).encode() + b"\r\n"
