"""The `tablemill` command line."""

import sys
from typing import NoReturn

import click

from tablemill.cli import change, commands, files, operate, reads
from tablemill.cli.exits import EXIT_CODES, EXIT_INTERRUPTED, Exits
from tablemill.cli.session import Session


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nExit codes:\n{EXIT_CODES}",
)
@click.option(
    "--server",
    default="localhost:50051",
    envvar="TABLEMILL_SERVER",
    show_default=True,
    show_envvar=True,
    help="host:port of the ingest service.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: one object per event or row.")
@click.version_option(package_name="tablemill", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, server: str, as_json: bool) -> None:
    """Turn messy spreadsheets into clean, typed, profiled Parquet.

    Start with:  tablemill upload FILE --watch
    """
    context.obj = Session(server, as_json=as_json)


for command in (*commands.COMMANDS, *reads.COMMANDS, *files.COMMANDS, *change.COMMANDS, *operate.COMMANDS):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and leave with one of the documented exit codes."""
    try:
        code = cli.main(prog_name="tablemill", standalone_mode=False)
    except Exits as exits:
        sys.exit(exits.code)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
