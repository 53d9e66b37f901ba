"""The recipe for a new job type, as docs/architecture.md has it, followed word by word."""

import asyncio
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import google_crc32c

from ingest_service.auth import LOCAL_OWNER
from shared.database import make_pool
from shared.jobs.notify import Notifier
from shared.storage import open_store
from tests.conftest import Services
from tests.e2e.command_line import tablemill
from tests.stack import CHECKOUT

TEXT = b"one\ntwo\nthree"


def _recipe() -> tuple[str, str, str]:
    """Return where the handler goes, the handler, and how to enqueue."""
    page = (CHECKOUT / "docs" / "architecture.md").read_text()
    section = page.partition("## Adding a job type\n")[2].partition("\n## ")[0]
    (path,) = re.findall(r"Write `(\S+)`", section)
    handler, enqueue = (textwrap.dedent(code) for code in re.findall(r" +```python\n(.*?) +```", section, re.S))
    return path, handler, enqueue


async def _queues(services: Services) -> list[str]:
    return [queue["queue"] for queue in (await tablemill(services, "queues", "--json")).objects]


async def test_the_recipe_is_all_it_takes(services: Services, tmp_path: Path) -> None:
    path, handler, enqueue = _recipe()
    shutil.copytree(CHECKOUT / "worker_service", tmp_path / "worker_service")
    (tmp_path / path).write_text(handler)
    services.worker.terminate()
    assert services.worker.wait() == 0
    services.start_worker(cwd=tmp_path)
    async with asyncio.timeout(20):
        while "line-count" not in await _queues(services):
            pass

    store = open_store(services.store_url, emulator_url=services.emulator_url)
    await store.put("texts/1", [TEXT], google_crc32c.value(TEXT))
    await store.close()
    recipe: dict[str, Any] = {}
    exec(enqueue, recipe)
    notifier = Notifier(services.database_url, "recipe")
    sending = asyncio.create_task(notifier.run())
    async with make_pool(services.database_url, "recipe", max_size=1) as pool:
        counted = await recipe["count_lines"](pool, notifier, LOCAL_OWNER, "texts/1")
        missing = await recipe["count_lines"](pool, notifier, LOCAL_OWNER, "texts/2")
        last = (await tablemill(services, "watch", str(counted), "--json")).objects[-1]
        assert last["state"] == "JOB_STATE_SUCCEEDED"
        assert f'"job_id": "{counted}", "lines": 3' in services.worker.log_text()
        refused = (await tablemill(services, "watch", str(missing), "--json")).objects[-1]
        assert (refused["error"]["reason"], refused["attempt"]) == ("OBJECT_MISSING", 1)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
