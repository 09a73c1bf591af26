"""Jobs: concurrent work, composed. A Job says what to do; `run` does many of them, within limits."""

from asyncnet.jobs.compose import all_of, first_of
from asyncnet.jobs.fetch import Fetcher, fetch
from asyncnet.jobs.job import Job, Outcome, call
from asyncnet.jobs.runner import as_completed, run
from asyncnet.retry import Retry

__all__ = ["Fetcher", "Job", "Outcome", "Retry", "all_of", "as_completed", "call", "fetch", "first_of", "run"]
