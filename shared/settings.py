"""Settings that both services have.

Built once in `__main__`, then passed down; nothing else reads the environment.
"""

import sys
from typing import Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Settings from environment variables named TABLEMILL_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TABLEMILL_", frozen=True, hide_input_in_errors=True)

    database_url: str = Field(description="libpq URL of the Postgres database", min_length=1)
    store_url: str = Field(
        description="Where objects live: gs://BUCKET or file:///DIRECTORY", pattern=r"^(gs://|file:///)."
    )
    storage_emulator_host: str = Field(
        "", validation_alias="STORAGE_EMULATOR_HOST", description="URL of a GCS emulator to use in place of Google's"
    )
    metrics_listen: str = Field("", description="HOST:PORT of the Prometheus endpoint; empty turns it off")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged")
    database_pool_size: int = Field(
        8, description="Connections to Postgres at most, listeners not counted", ge=2, le=200
    )
    drain_grace_s: float = Field(20.0, description="Seconds that running work gets to end after SIGTERM", ge=0)

    @classmethod
    def load(cls) -> Self:
        """Read the environment; print help or what is wrong, and exit, when asked to or when it does not fit."""
        if {"-h", "--help"} & set(sys.argv[1:]):
            sys.stdout.write(cls.help_text())
            raise SystemExit(0)
        try:
            return cls()
        except ValidationError as error:
            for problem in error.errors():
                name = str(problem["loc"][0])
                variable = name if name.isupper() else f"TABLEMILL_{name.upper()}"
                sys.stderr.write(f"{variable}: {problem['msg']}\n")
            sys.stderr.write("Run with --help to see all settings.\n")
            raise SystemExit(2) from None

    @classmethod
    def help_text(cls) -> str:
        """Return one line per environment variable: name, default, description."""
        lines = ["Settings (environment variables):"]
        for name, field in cls.model_fields.items():
            default = "required" if field.is_required() else f"default {field.default!r}"
            variable = str(field.validation_alias or f"TABLEMILL_{name.upper()}")
            lines.append(f"  {variable:34} {field.description} ({default})")
        return "\n".join(lines) + "\n"
