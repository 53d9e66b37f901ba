"""`python -m benchmarks.plots`: one plot a question, from benchmarks/results/queue.json to docs/benchmarks/queue-*.svg.

Plain SVG, written by hand: the same figures give the same bytes, and no library is needed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from benchmarks.harness import RESULTS
from tests.stack import CHECKOUT

_FOLDER = CHECKOUT / "docs" / "benchmarks"
_COLORS = ("#1b6ca8", "#8fbbd9", "#f0a202", "#7a9e7e", "#b56576", "#6d597a")
_WIDTH, _LEFT, _RIGHT, _TOP = 720, 150, 90, 58
_BAR, _GAP = 16, 14
_CHART_HEIGHT = 260


@dataclass(frozen=True)
class Bars:
    """A bar for each contender and each of `series`: the name of a figure and what it is called in the legend."""

    name: str
    title: str
    series: Mapping[str, str]


_PLOTS = (
    Bars("idle-start", "Enqueue to handler start, idle, ms", {"idle_p50_ms": "p50", "idle_p99_ms": "p99"}),
    Bars("no-op", "No-op jobs a second, one process", {"jobs_per_s_best": "best", "jobs_per_s_default": "default"}),
    Bars(
        "enqueue",
        "Jobs enqueued a second by 32 clients",
        {"enqueued_per_s_waking": "with wake-ups", "enqueued_per_s_silent": "without"},
    ),
    Bars(
        "claim",
        "Claim of one job, median ms",
        {"claim_empty_ms": "nothing behind it", "claim_backlog_ms": "the backlog behind it"},
    ),
    Bars("idle-load", "Statements of an idle worker in 30 s", {"idle_statements": "statements"}),
    Bars("wal", "WAL per no-op job, bytes", {"wal_bytes_per_job": "bytes"}),
    Bars("sigkill", "SIGKILL to running elsewhere, s", {"sigkill_to_running_s": "seconds"}),
)


def main() -> None:
    """Draw everything anew."""
    facts = json.loads((RESULTS / "queue.json").read_text())
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for plot in _PLOTS:
        _write(plot.name, _bars(plot, facts["rows"]))
    _write("held-xmin", _held_xmin(facts["samples"]))


def _write(name: str, svg: str) -> None:
    (_FOLDER / f"queue-{name}.svg").write_text(svg)


def _bars(plot: Bars, rows: Mapping[str, Mapping[str, Any]]) -> str:
    shown = {who: found for who, found in rows.items() if any(figure in found for figure in plot.series)}
    numbers = [found[figure] for found in shown.values() for figure in plot.series if _is_number(found.get(figure))]
    scale = (_WIDTH - _LEFT - _RIGHT) / max([*numbers, 1e-9])
    parts, y = [], float(_TOP)
    for who, found in shown.items():
        height = _BAR * len(plot.series)
        parts.append(_text(_LEFT - 10, y + height / 2 + 4, who, anchor="end", bold=who == "tablemill"))
        for number, figure in enumerate(plot.series):
            value = found.get(figure, "–")
            width = value * scale if _is_number(value) else 0
            parts.append(_rect(_LEFT, y, width, _BAR - 2, _COLORS[number]))
            label = f"{value:,.4g}" if _is_number(value) and value < 1000 else f"{value:,.0f}" if width else str(value)
            parts.append(_text(_LEFT + width + 6, y + _BAR - 5, label))
            y += _BAR
        y += _GAP
    legend = list(plot.series.values()) if len(plot.series) > 1 else []
    return _svg(plot.title, legend, parts, height=y)


def _held_xmin(samples: Mapping[str, Sequence[float]]) -> str:
    suffix = "_held_xmin_jobs_per_s"
    lines = {name.removesuffix(suffix): values for name, values in samples.items() if name.endswith(suffix)}
    most = max((value for values in lines.values() for value in values), default=1)
    longest = max((len(values) for values in lines.values()), default=1)
    x_scale, y_scale = (_WIDTH - _LEFT - _RIGHT) / longest, _CHART_HEIGHT / most
    bottom = _TOP + _CHART_HEIGHT
    parts = [_rect(_LEFT, bottom, _WIDTH - _LEFT - _RIGHT, 1, "#999")]
    parts += [
        _text(_LEFT - 10, bottom - most * share * y_scale + 4, f"{most * share:,.0f}", "end") for share in (0, 0.5, 1)
    ]
    parts += [
        _text(_LEFT + longest * share * x_scale, bottom + 18, f"{longest * share:,.0f} s") for share in (0, 0.5, 1)
    ]
    for number, values in enumerate(lines.values()):
        points = " ".join(
            f"{_LEFT + (second + 0.5) * x_scale:.1f},{bottom - value * y_scale:.1f}"
            for second, value in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{_COLORS[number]}" stroke-width="2"/>')
    return _svg("Jobs a second while another session holds a snapshot", list(lines), parts, height=bottom + 30)


def _svg(title: str, legend: Sequence[str], parts: Sequence[str], *, height: float) -> str:
    key, x = [], float(_LEFT)
    for number, name in enumerate(legend):
        key += [_rect(x, 34, 11, 11, _COLORS[number]), _text(x + 16, 44, name)]
        x += 34 + 7 * len(name)
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif" font-size="12"'
    frame = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        _rect(0, 0, _WIDTH, height, "#fff"),
        _text(16, 22, title, bold=True),
    ]
    return "\n".join([*frame, *key, *parts, "</svg>", ""])


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight} fill="#222">{escape(text)}</text>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


if __name__ == "__main__":
    main()
