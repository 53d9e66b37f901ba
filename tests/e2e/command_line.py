"""The `tablemill` command as a process."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Services


@dataclass
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def tablemill(services: Services, *arguments: str | Path) -> Finished:
    """Run the command line against these services."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tablemill", *map(str, arguments)),
        stdout=PIPE,
        stderr=PIPE,
        env={
            **os.environ,
            "TABLEMILL_SERVER": services.address,
            "TABLEMILL_WORKER": services.worker_address,
        },
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())
