"""What all commands share: the server, how to print, and how errors end a command."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import wraps
from typing import Any, NoReturn, TextIO, TypeVar

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from tablemill.cli.exits import Exits, code_of
from tablemill.client import TablemillClient
from tablemill.errors import TablemillError
from tablemill.operations import WorkerClient
from tablemill.retrying import RetryPolicy

C = TypeVar("C")

# A person waits at the terminal: give up sooner than a program would.
_RETRY = RetryPolicy(attempts=6, longest_delay_s=8.0)


# Lines that go to a file or a pipe are never cut.
_UNBOUNDED_WIDTH = 1_000_000


class _Output(Console):
    """A console that leaves it to the command what to do when the reader of a pipe has gone."""

    def __init__(self, file: TextIO) -> None:
        width = None if file.isatty() else _UNBOUNDED_WIDTH
        super().__init__(file=file, width=width, highlight=False, emoji=False)

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


class Session:
    """One run of a command."""

    def __init__(self, server: str, *, as_json: bool) -> None:
        self.server = server
        self.as_json = as_json
        self.out = _Output(sys.stdout)
        self.err = _Output(sys.stderr)

    @property
    def live(self) -> bool:
        """True when somebody watches a terminal, so that progress may be drawn."""
        return self.err.is_terminal and not self.as_json

    def run(self, command: Callable[[TablemillClient], Awaitable[None]]) -> None:
        """Run a command with a client; errors are printed and become exit codes."""
        self._finish(self._use(TablemillClient(self.server, retry=_RETRY), command))

    def run_on_worker(self, command: Callable[[WorkerClient], Awaitable[None]]) -> None:
        """Run a command with a client of a worker, in the same way."""
        self._finish(self._use(WorkerClient(self.server), command))

    def _finish(self, command: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run(command)
        except TablemillError as error:
            self._print_error(error)
            raise Exits(code_of(error)) from error
        except BrokenPipeError:
            # Whoever read the output has seen enough; Python must not try to flush the rest at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            raise click.UsageError(str(error)) from error

    def print_json(self, value: Message | dict[str, Any]) -> None:
        """Print one JSON line; a message in the usual JSON form of protobuf, where 64-bit integers are text."""
        if isinstance(value, Message):
            value = as_json(value)
        self.out.file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
        self.out.file.flush()

    def note_retry(self, error: TablemillError) -> None:
        """Tell that something broke and is being resumed."""
        self.err.print(
            f"[yellow]Trying again:[/] {escape(error.reason or 'the connection broke')}: {escape(error.message)}"
        )

    async def _use(self, connection: AbstractAsyncContextManager[C], command: Callable[[C], Awaitable[None]]) -> None:
        async with connection as client:
            await command(client)

    def _print_error(self, error: TablemillError) -> None:
        if self.as_json:
            details = {"reason": error.reason, "message": error.message, "code": error.code.name}
            line = json.dumps({"error": {**details, "metadata": error.metadata}}, ensure_ascii=False)
            self.err.file.write(line + "\n")
            return
        self.err.print(f"[red]{escape(error.reason or error.code.name)}:[/] {escape(error.message)}")
        for key, value in error.metadata.items():
            self.err.print(f"  {escape(key)}: {escape(value)}")


def transfer_bar(session: Session, verb: str) -> Progress:
    """Return a bar for bytes on their way; it is drawn only where somebody watches."""
    columns = (TextColumn(verb), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    return Progress(*columns, console=session.err, transient=True, disable=not session.live)


def as_json(message: Message) -> dict[str, Any]:
    """Return a message in the usual JSON form of protobuf."""
    return MessageToDict(message, preserving_proto_field_name=True)


def with_session(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its session, and let `--server` and `--json` also stand behind the command's name."""

    @click.option("--server", help="host:port of the ingest service.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
    @wraps(command)
    def run(*, server: str | None, as_json: bool, **options: object) -> None:
        outer: Session = click.get_current_context().obj
        command(Session(server or outer.server, as_json=as_json or outer.as_json), **options)

    return run
