"""Profiles: exact for small tables, close for large ones; the same whether rows were spilled or not."""

import json
import math
import statistics
from dataclasses import replace

import pytest

from worker_service.tables import intake, profile, tally
from worker_service.tables.model import TextLengths

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


def close(one: str, other: str) -> bool:
    return one == other or math.isclose(float(one), float(other), rel_tol=1e-9)


def test_columns_of_few_values_are_exact_in_large_tables_too(run: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = run(ROWS)
    monkeypatch.setattr(profile, "EXACT_ROWS", 0)
    counted = run(ROWS)
    for one, other in zip(exact.report.columns, counted.report.columns, strict=True):
        expected, found = one.profile, other.profile
        assert not found.approximate
        if expected.mean is not None:
            assert found.mean == pytest.approx(expected.mean)
            assert found.stddev == pytest.approx(expected.stddev)
            assert all(close(found.quantiles[share], value) for share, value in expected.quantiles.items())
            found = replace(found, mean=expected.mean, stddev=expected.stddev, quantiles=expected.quantiles)
        assert found == expected


def test_columns_of_many_values_are_labelled_and_close(run: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = run(ROWS)
    monkeypatch.setattr(profile, "EXACT_ROWS", 0)
    monkeypatch.setattr(tally, "_MAX_DISTINCT", 3)
    rough, again = run(ROWS), run(ROWS)
    assert rough.report.to_json() == again.report.to_json()
    for one, other in zip(exact.report.columns, rough.report.columns, strict=True):
        expected, found = one.profile, other.profile
        assert found.approximate
        assert (expected.min, expected.max, expected.lengths) == (found.min, found.max, found.lengths)
        assert math.isclose(expected.distinct_count, found.distinct_count, rel_tol=0.1)
        assert (expected.histogram, expected.time_histogram) == (found.histogram, found.time_histogram)
        assert found.quantiles == expected.quantiles  # the sample of so small a table is the table
        if expected.mean is not None:
            assert found.mean == pytest.approx(expected.mean)
            assert found.stddev == pytest.approx(expected.stddev)
    assert rough.column("name").profile.top_values == exact.column("name").profile.top_values


def test_dates_and_texts_have_their_spreads_and_lengths(run: Converter) -> None:
    result = run(ROWS)
    day, name = result.column("day").profile, result.column("name").profile
    assert day.time_histogram is not None
    assert sum(day.time_histogram.counts) == 2000
    assert day.time_histogram.edges[0] == "2024-01-01"
    assert len(day.time_histogram.edges) == len(day.time_histogram.counts) + 1
    assert name.lengths == TextLengths(1, 2, 1.5)
    assert day.lengths is None


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
