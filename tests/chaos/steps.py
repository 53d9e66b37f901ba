"""The steps of an ingest job at which a worker can be stopped."""

from enum import StrEnum


class Step(StrEnum):
    """Where `tests.chaos.stopping_worker` can stop, in the order of a job."""

    CLAIMED = "claimed"  # the row says that the job runs here; this process has not begun with it
    PARSING = "parsing"  # in the middle of the file; the process that parses stops too
    STORED = "stored"  # the clean object is stored, the rejects are not
    FINISHING = "finishing"  # all is stored; the transaction is open, nothing is written in it
    COMMITTING = "committing"  # all is written and the rows are locked; COMMIT is not sent
    COMMITTED = "committed"  # nobody has heard of it
