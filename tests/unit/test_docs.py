"""The docs name everything that users and operators can meet."""

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from ingest_service.settings import IngestSettings
from shared import telemetry
from shared.settings import ServiceSettings
from worker_service.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
API = (ROOT / "docs/api.md").read_text()
_RAISED = re.compile(
    r"(?:InvalidArgument|NotFound|AlreadyExists|OutOfRange|Aborted|DataLoss|FailedPrecondition|ResourceExhausted"
    r"|Unavailable|JobFailure)\(\s*\"([A-Z_]+)\""
)


def _reasons_in_code() -> set[str]:
    code = [
        path.read_text()
        for room in ("shared", "ingest_service", "worker_service")
        for path in (ROOT / room).rglob("*.py")
    ]
    return {reason for text in code for reason in _RAISED.findall(text)}


@pytest.mark.parametrize("settings", [IngestSettings, WorkerSettings])
def test_every_setting_is_documented_with_its_default(settings: type[ServiceSettings]) -> None:
    for name, field in settings.model_fields.items():
        variable = str(field.validation_alias or f"TABLEMILL_{name.upper()}")
        assert f"`{variable}`" in OPERATIONS
        assert variable in settings.help_text()
        assert field.description, f"{variable} says what it is"


def test_every_metric_is_documented() -> None:
    metrics = [value for value in vars(telemetry).values() if isinstance(value, MetricWrapperBase)]
    assert len(metrics) > 10
    for metric in metrics:
        (family,) = metric.describe()
        suffix = "_total" if family.type == "counter" else ""
        assert f"`{family.name}{suffix}`" in OPERATIONS


def test_every_reason_is_documented() -> None:
    reasons = _reasons_in_code()
    assert {"RECORD_NOT_FOUND", "UPLOAD_IDLE", "OUT_OF_MEMORY"} <= reasons
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in API] == []


def test_every_reason_in_the_protos_is_documented() -> None:
    protos = "\n".join(path.read_text() for path in (ROOT / "protos").rglob("*.proto"))
    errors = re.findall(r"\(([A-Z_, /\n]+)\)", protos)
    reasons = {reason for group in errors for reason in re.findall(r"[A-Z]+_[A-Z_]+", group)}
    assert reasons
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in API] == []
