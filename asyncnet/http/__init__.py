"""HTTP: `http.get(url)` and its like for one request, `http.session()` for many, `http.stream()` for big bodies."""

from asyncnet.http.limits import Limits
from asyncnet.http.oneshot import delete, get, head, options, patch, post, put, request, stream
from asyncnet.http.response import Response
from asyncnet.http.session import Session, session
from asyncnet.http.stream import ResponseStream

__all__ = [
    "Limits",
    "Response",
    "ResponseStream",
    "Session",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "stream",
]
