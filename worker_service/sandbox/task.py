"""What a function needs to know that runs in a sandbox: it gets JSON and a way to report, and returns JSON.

Errors it raises: `Refused` for what is wrong with the file; MemoryError when memory does not suffice; anything else
is a bug, of which the parent hears the type and the places in our code, but no values.
"""

from typing import Any, Protocol

OUTPUT_NAME = "process-output"  # file in the scratch directory that takes what the process prints


class Report(Protocol):
    """Tells how far the work is. Cheap: most calls are dropped."""

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        """Report `done` of `total` (0: unknown) units of a stage."""


class Refused(Exception):
    """The file cannot be worked on, whoever tries: `facts` are fields of shared.jobs.model.JobFailure."""

    def __init__(self, reason: str, message: str, **facts: Any) -> None:
        super().__init__(reason)
        self.facts = {"reason": reason, "message": message, **facts}
