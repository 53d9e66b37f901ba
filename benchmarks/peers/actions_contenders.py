"""The same actions by this project and by Polars, in a process of their own; see benchmarks/actions.py."""

import json
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worker_service.tables.arrow import pc

_GROUP_ROWS = 131_072
_BLOCK_ROWS = 100_000
_MAX_ROWS = 10_000_000
_BMI = {"compute_column": {"name": "BMI", "expression": "round(体重 / power(身高 / 100, 2), 1)"}}
_TIMES = {"compute_column": {"name": "x", "expression": "round(年龄 / 住院次数, 1)"}}
_OLD = [{"condition": "年龄 >= 75", "value": "'高'"}]
_HEAVY = [{"condition": "BMI >= 28", "value": "'胖'"}, {"condition": "BMI >= 24", "value": "'重'"}]
_LETTERS = [{"old_value": "男", "new_value": "M"}, {"old_value": "女", "new_value": "F"}]
WORKS: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "small": {
        "filter": [{"filter_rows": {"condition": "年龄 >= 65 and 住院次数 = 1"}}],
        "computed": [_TIMES],
        "group of four": [
            {"filter_rows": {"condition": "年龄 >= 40"}},
            _TIMES,
            {"conditional_column": {"name": "组", "branches": _OLD, "otherwise": "'低'"}},
            {"sort_rows": {"keys": [{"column": "年龄", "descending": True}]}},
        ],
    },
    "large": {
        "filter": [{"filter_rows": {"condition": "年龄 >= 65 and 白细胞 > 8"}}],
        "computed": [_BMI],
        "group of five": [
            {"filter_rows": {"condition": "年龄 >= 40"}},
            {"recode_values": {"column": "性别", "changes": _LETTERS}},
            _BMI,
            {"conditional_column": {"name": "组", "branches": _HEAVY, "otherwise": "'常'"}},
            {"drop_columns": {"columns": ["编号"]}},
        ],
        "sort": [{"sort_rows": {"keys": [{"column": "费用", "descending": True}]}}],
        "deduplicate": [{"deduplicate": {"columns": ["诊断", "科室", "年龄"]}}],
    },
}


def tablemill(size: str, work: str, source: Path, target: Path) -> Callable[[], object]:
    """Return what does the work, without the profile of the new version."""
    from worker_service.actions.applying import write_version  # noqa: PLC0415  # each contender loads its own

    args = {"source": str(source), "target": str(target), "actions": WORKS[size][work], "max_rows": _MAX_ROWS}
    return lambda: write_version(args, _ignore)


def _ignore(stage: str, done: int, total: int, unit: str) -> None:
    """Take a report of progress that nobody asked for."""


def polars(size: str, work: str, source: Path, target: Path) -> Callable[[], object]:
    """Return what does the work."""
    import polars as pl  # noqa: PLC0415  # each contender loads its own

    col = pl.col
    bmi = (col("体重") / (col("身高") / 100) ** 2).round(1, mode="half_away_from_zero").alias("BMI")
    ratio = (col("年龄") / col("住院次数")).round(1, mode="half_away_from_zero").alias("x")

    def plan() -> Any:  # noqa: PLR0911  # one case a work
        table = pl.scan_parquet(source)
        match size, work:
            case "small", "filter":
                return table.filter((col("年龄") >= 65) & (col("住院次数") == 1))
            case "small", "computed":
                return table.with_columns(ratio)
            case "small", _:
                group = pl.when(col("年龄") >= 75).then(pl.lit("高")).otherwise(pl.lit("低")).alias("组")
                kept = table.filter(col("年龄") >= 40).with_columns(ratio).with_columns(group)
                return kept.sort("年龄", descending=True, nulls_last=True, maintain_order=True)
            case "large", "filter":
                return table.filter((col("年龄") >= 65) & (col("白细胞") > 8))
            case "large", "computed":
                return table.with_columns(bmi)
            case "large", "sort":
                return table.sort("费用", descending=True, nulls_last=True, maintain_order=True)
            case "large", "deduplicate":
                return table.unique(["诊断", "科室", "年龄"], keep="first", maintain_order=True)
        group = pl.when(col("BMI") >= 28).then(pl.lit("胖")).when(col("BMI") >= 24).then(pl.lit("重"))
        recoded = table.filter(col("年龄") >= 40).with_columns(col("性别").replace({"男": "M", "女": "F"}))
        return recoded.with_columns(bmi).with_columns(group.otherwise(pl.lit("常")).alias("组")).drop("编号")

    return lambda: plan().sink_parquet(target, compression="zstd", compression_level=1, row_group_size=_GROUP_ROWS)


def check_equal(one: Path, other: Path) -> None:
    """Raise ValueError unless both files hold the same rows; numbers may differ by a rounding."""
    for name in pq.read_schema(one).names:
        mine, theirs = (pq.read_table(path, columns=[name]).column(0) for path in (one, other))
        theirs = theirs.cast(mine.type)
        same = pc.equal(mine, theirs)
        if pa.types.is_floating(mine.type):
            same = pc.less(pc.abs(pc.subtract(mine, theirs)), 1e-9)
        if not (pc.is_null(mine).equals(pc.is_null(theirs)) and pc.all(same, min_count=0).as_py()):
            raise ValueError(f"column {name} differs")


def write_large(path: Path, rows: int) -> Path:
    """Write made admissions: `rows` must be a multiple of 100,000."""
    blocks = [_block(random.Random(seed)) for seed in range(10)]
    repetitive: Any = ["性别", "诊断", "科室", "年龄", "住院天数", "入院日期", "复查"]
    with pq.ParquetWriter(
        path, blocks[0].schema, compression="zstd", compression_level=1, use_dictionary=repetitive
    ) as writer:
        for start in range(0, rows, 10 * _BLOCK_ROWS):
            group = []
            for number in range(start // _BLOCK_ROWS, min(start + 10 * _BLOCK_ROWS, rows) // _BLOCK_ROWS):
                ids = pa.array([f"P{number:05}{row:05}" for row in range(_BLOCK_ROWS)])
                group.append(blocks[number % 10].set_column(0, "编号", ids))
            writer.write_table(pa.concat_tables(group), _GROUP_ROWS)
    return path


def _block(rng: random.Random) -> pa.Table:
    def column(make: Callable[[], Any], dtype: pa.DataType, null_share: float = 0.0) -> Any:
        return pa.array([None if rng.random() < null_share else make() for _ in range(_BLOCK_ROWS)], dtype)

    first = date(2020, 1, 1)
    return pa.table(
        {
            "编号": pa.nulls(_BLOCK_ROWS, pa.string()),
            "性别": column(lambda: rng.choice("男女"), pa.string(), 0.02),
            "年龄": column(lambda: rng.randrange(18, 95), pa.int64(), 0.02),
            "身高": column(lambda: round(rng.gauss(165, 9), 1), pa.float64()),
            "体重": column(lambda: round(rng.gauss(62, 11), 1), pa.float64(), 0.05),
            "入院日期": column(lambda: first + timedelta(rng.randrange(1500)), pa.date32()),
            "住院天数": column(lambda: rng.randrange(1, 60), pa.int64()),
            "诊断": column(lambda: rng.choice(["高血压", "糖尿病", "冠心病", "肺炎", "骨折"]), pa.string()),
            "白细胞": column(lambda: round(rng.gauss(7, 2), 2), pa.float64()),
            "费用": column(lambda: round(rng.expovariate(1 / 8000), 2), pa.float64()),
            "科室": column(lambda: f"科室{rng.randrange(40)}", pa.string()),
            "复查": column(lambda: rng.random() > 0.5, pa.bool_()),
        }
    )


def main() -> None:
    """Run one contender; print its figures as JSON."""
    contender, size, work, source, target, runs = sys.argv[1:]
    make = {"tablemill": tablemill, "polars": polars}[contender]
    run, seconds, cpu = make(size, work, Path(source), Path(target)), [], []
    for _ in range(int(runs)):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - began_s)
        cpu.append(time.process_time() - began_cpu_s)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu_s": min(cpu), "peak_mib": peak_mib}) + "\n")


if __name__ == "__main__":
    main()
