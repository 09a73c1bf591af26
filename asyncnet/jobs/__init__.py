"""Jobs: concurrent work, composed. A Job says what to do; `run` does many of them, within limits."""

from asyncnet.jobs.adaptive import Adaptive
from asyncnet.jobs.breaker import Breaker
from asyncnet.jobs.cluster import Cluster
from asyncnet.jobs.compose import all_of, first_of
from asyncnet.jobs.deliver import exchange, post, send
from asyncnet.jobs.fetch import Fetcher, fetch
from asyncnet.jobs.folder import Placing
from asyncnet.jobs.job import Job, Outcome, call
from asyncnet.jobs.journal import Journal
from asyncnet.jobs.observer import Observer
from asyncnet.jobs.outputs import JsonLines, Output, Sqlite
from asyncnet.jobs.progress import Progress
from asyncnet.jobs.rates import Rate
from asyncnet.jobs.records import error_record, json_line, record, response_record, weight
from asyncnet.jobs.report import Report
from asyncnet.jobs.runner import as_completed, run
from asyncnet.jobs.saving import Files, Maildir
from asyncnet.retry import Retry

__all__ = [
    "Adaptive",
    "Breaker",
    "Cluster",
    "Fetcher",
    "Files",
    "Job",
    "Journal",
    "JsonLines",
    "Maildir",
    "Observer",
    "Outcome",
    "Output",
    "Placing",
    "Progress",
    "Rate",
    "Report",
    "Retry",
    "Sqlite",
    "all_of",
    "as_completed",
    "call",
    "error_record",
    "exchange",
    "fetch",
    "first_of",
    "json_line",
    "post",
    "record",
    "response_record",
    "run",
    "send",
    "weight",
]
