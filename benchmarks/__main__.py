"""`python -m benchmarks [NAME]`: run one benchmark, or all.

Exits with 1 when a benchmark broke; a bar that is missed is a finding, not a breakage.
"""

import asyncio
import importlib
import pkgutil
import sys

from rich.console import Console

import benchmarks
from benchmarks.harness import RESULTS, Report

_NOT_BENCHMARKS = {"__main__", "harness", "peers", "plots", "queue_questions", "reads_data", "watch_notify"}

console = Console(highlight=False)


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    known = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in _NOT_BENCHMARKS]
    asked = sys.argv[1:] or known
    unknown = [name for name in asked if name not in known]
    if unknown:
        console.print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(known)}")
        return 2
    broken = [name for name in asked if not _run(name)]
    if broken:
        console.print(f"Broken: {', '.join(broken)}", style="red")
    return 1 if broken else 0


def _run(name: str) -> bool:
    """Run one benchmark, print and save what it found; return False when it raised."""
    report = Report(name)
    try:
        asyncio.run(importlib.import_module(f"benchmarks.{name}").run(report))
    except Exception:  # noqa: BLE001  the others still run; the exit code tells
        console.print_exception()
        return False
    report.print(console)
    console.print(f"Kept in {report.save().relative_to(RESULTS.parent.parent)}\n")
    return True


if __name__ == "__main__":
    sys.exit(main())
