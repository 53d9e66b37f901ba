"""Profiles: exact for small tables, close for large ones; the same whether rows were spilled or not."""

import json
import math
import statistics

import pytest

from worker_service.tables import intake, profile

from .support import Converter

ROWS = "n,x,day,name\n" + "".join(
    f"{n},{n * n % 97 / 4},2024-01-{n % 28 + 1:02},{'甲乙丙'[n % 3] * (1 + n % 2)}\n" for n in range(2000)
)


def test_exact_profile(run: Converter) -> None:
    result = run(ROWS)
    numbers = result.columns["x"]
    found = result.column("x").profile
    assert not found.approximate
    assert found.distinct_count == len(set(numbers))
    assert (found.min, found.max) == (repr(min(numbers)), repr(max(numbers)))
    assert found.mean == pytest.approx(statistics.fmean(numbers))
    assert found.stddev == pytest.approx(statistics.stdev(numbers))
    assert float(found.quantiles["0.5"]) == statistics.median(numbers)
    assert len(found.quantiles) == 7
    assert found.histogram is not None
    assert sum(found.histogram.counts) == len(numbers)
    assert len(found.histogram.edges) == len(found.histogram.counts) + 1
    assert len(found.top_values) == 20
    assert [top.count for top in found.top_values] == sorted((top.count for top in found.top_values), reverse=True)


def test_dates_and_texts(run: Converter) -> None:
    result = run(ROWS)
    day, name = result.column("day").profile, result.column("name").profile
    assert (day.min, day.max, day.distinct_count) == ("2024-01-01", "2024-01-28", 28)
    assert day.quantiles["0.5"].startswith("2024-01-1")
    assert name.distinct_count == 6
    assert name.mean is None


def test_large_tables_are_labelled_and_close(run: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = run(ROWS)
    monkeypatch.setattr(profile, "EXACT_ROWS", 0)
    counted = run(ROWS)
    assert [column.profile for column in counted.report.columns] == [column.profile for column in exact.report.columns]
    monkeypatch.setattr(profile, "_FEW_VALUES", 0)
    rough, again = run(ROWS), run(ROWS)
    assert rough.report.to_json() == again.report.to_json()
    for one, other in zip(exact.report.columns, rough.report.columns, strict=True):
        assert other.profile.approximate
        assert (one.profile.min, one.profile.max) == (other.profile.min, other.profile.max)
        assert math.isclose(one.profile.distinct_count, other.profile.distinct_count, rel_tol=0.1)
        assert one.profile.histogram == other.profile.histogram
        assert one.profile.time_histogram == other.profile.time_histogram
        assert one.profile.lengths == other.profile.lengths
        if one.profile.mean is not None:
            assert other.profile.mean == pytest.approx(one.profile.mean)
            assert other.profile.stddev == pytest.approx(one.profile.stddev)


def test_spilled_rows_come_back(run: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    held = run(ROWS)
    monkeypatch.setattr(intake, "_MEMORY_BYTES", 0)
    spilled = run(ROWS)
    assert spilled.columns == held.columns
    assert not (spilled.clean.parent / "spill.arrow").exists()
    irregular = run(ROWS + "2000,1\n")
    assert irregular.report.row_count == 2001
    assert not (irregular.clean.parent / "spill.arrow").exists()


def test_report_is_json(run: Converter) -> None:
    text = json.dumps(run(ROWS).report.to_json(), allow_nan=False, ensure_ascii=False)
    assert json.loads(text)["columns"][0]["name"] == "n"


def test_a_broken_account_is_a_bug(run: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker_service.tables import InvariantError
    from worker_service.tables.clean import Account

    real = Account.check

    def lose_one(self: Account, name: str) -> None:
        self.source_nonempty += 1
        real(self, name)

    monkeypatch.setattr(Account, "check", lose_one)
    with pytest.raises(InvariantError, match="cells were read"):
        run(ROWS)
