"""Every command of the grpcurl cookbook, run as it is printed there."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Services
from tests.interop.conftest import EXAMPLES, run

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_cookbook_works(grpcurl: Path, shared_services: Services, tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not here")
    blocks = _BLOCK.findall((EXAMPLES / "grpcurl.md").read_text())
    script = "\n".join(["set -euo pipefail", *blocks])
    path = f"{grpcurl}{os.pathsep}{os.environ['PATH']}"
    servers = {"SERVER": shared_services.address, "WORKER": shared_services.worker_address}
    finished = run(["bash", "-c", script], tmp_path, servers | {"PATH": path})
    assert finished.returncode == 0, finished.stderr
    assert len(blocks) == len(re.findall(r"^```sh$", (EXAMPLES / "grpcurl.md").read_text(), re.MULTILINE)) > 8
    out = finished.stdout
    assert "tablemill.v1.DataService" in out
    assert '"status": "SERVING"' in out
    assert '"state": "UPLOAD_STATE_COMMITTED"' in out
    assert '"state": "JOB_STATE_SUCCEEDED"' in out
    stored = json.loads((tmp_path / "stored.json").read_text())
    job_id = stored.get("job_id") or stored["jobId"]
    assert out.count(job_id) >= 3, "the repeated upload has to give the same job"
    assert '"text": "00017"' in out
    assert '"int64": "63"' in out
    assert '"date": "2024-03-06"' in out
    assert '"pause_reason": "disk full"' in out or '"pauseReason": "disk full"' in out
    assert '"state": "JOB_STATE_CANCELLED"' in out
    assert '"draining": true' in out
    assert shared_services.worker.wait(30) == 0, "a drained worker leaves in peace"
    assert '["1","1"]\n[null,"2"]' in out, "the first of the two rows fits the filter"
    assert (tmp_path / "clean.csv").read_text().splitlines()[1] == '"00017",63,2024-03-05'
    assert (tmp_path / "visits.parquet").read_bytes()[-4:] == b"PAR1"
    assert "JOB_NOT_FOUND" in finished.stderr
    assert "refused with exit code 69" in out
