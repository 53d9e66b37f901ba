"""What the exit code of a command tells a script."""

from tablemill.errors import NotFoundError, RefusedError, TablemillError

EXIT_JOB_FAILED = 1
EXIT_NOT_FOUND = 3
EXIT_UNAVAILABLE = 4
EXIT_REFUSED = 5
EXIT_INTERRUPTED = 130

EXIT_CODES = """\
  0    done
  1    the job (or the job of the record) failed or was cancelled
  2    the command line is wrong, or a local file cannot be read or written
  3    no such record, job or queue
  4    the server cannot be reached, or made a mistake
  5    the server refused the request or the file
  130  interrupted"""


class Exits(Exception):
    """Ends the command with an exit code; everything worth saying has been printed."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def code_of(error: TablemillError) -> int:
    """Return the exit code for an error."""
    match error:
        case NotFoundError():
            return EXIT_NOT_FOUND
        case RefusedError():
            return EXIT_REFUSED
        case _:
            return EXIT_UNAVAILABLE
