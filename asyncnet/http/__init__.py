"""HTTP: `http.get(url)` and its like for one request, `http.session()` for many, `http.stream()` for big bodies.

`http.download()` fetches a file and goes on where it was cut; `http.events()` and `http.ndjson()` read what has no end.
"""

from asyncnet.http.download import Download
from asyncnet.http.events import Event
from asyncnet.http.feeds import Events
from asyncnet.http.limits import Limits
from asyncnet.http.oneshot import request, stream
from asyncnet.http.oneshot_transfers import download, events, ndjson
from asyncnet.http.oneshot_verbs import delete, get, head, options, patch, post, put
from asyncnet.http.response import Response
from asyncnet.http.session import Session, session
from asyncnet.http.stream import ResponseStream
from asyncnet.http.timings import Timings
from asyncnet.netrc import netrc_credentials

__all__ = [
    "Download",
    "Event",
    "Events",
    "Limits",
    "Response",
    "ResponseStream",
    "Session",
    "Timings",
    "delete",
    "download",
    "events",
    "get",
    "head",
    "ndjson",
    "netrc_credentials",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "stream",
]
