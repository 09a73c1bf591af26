"""Routes: the pages of the lab's web server, each of which behaves as its path says.

/page/ANYTHING                  a text that names itself
/echo, /form, /get, /post       what was asked, as JSON: method, url, headers, params, form, files, json, body
/status/418                     that status; ?retry_after=1
/slow?seconds=1                 the answer comes so late
/drip?bytes=10&seconds=1        so many bytes over so many seconds
/flaky?fails=2                  503 the first two times (?every=3: each third time), then 200; ?status= ?retry_after=
/redirect/3?status=307          so many redirects; &across=1: each to another origin; &to=URL: in the end there
/bytes/1000?seed=1              so many bytes, the same for the same seed; ETag, ranges, If-None-Match
/events?count=3&seconds=0.1     server-sent events, numbered; Last-Event-ID goes on after it
/webhook/NAME                   200, and recorded in lab.requests, as all requests are
/encoded/gzip                   a text in that coding (or deflate)
/basic, /digest                 for the accounts of the lab; 401 before
"""

from __future__ import annotations

import asyncio
import email.message
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from asyncnet.lab.page import is_page, paged
from asyncnet.lab.recorded import Recorded
from asyncnet.lab.web_login import is_signed_in
from asyncnet.lab.web_ranges import ranged

if TYPE_CHECKING:
    from asyncnet.lab.web import WebService

_MAX_SECONDS = 600.0
_MAX_BYTES = 1 << 28
_MAX_COUNT = 100_000
_MAX_FLAKY = 10_000
_REDIRECTS = (301, 302, 303, 307, 308)


class Asked:
    """A request, read whole, and who answers it."""

    def __init__(self, service: WebService, request: web.BaseRequest, body: bytes, tail: str) -> None:
        self.service = service
        self.request = request
        self.body = body
        self.tail = tail
        """what stands behind the route's name in the path"""

    def number(self, name: str, default: float, most: float) -> float:
        """Give a number of the query, within its bound.

        Raises:
            HTTPBadRequest: it is none.
        """
        text = self.request.query.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", text, re.ASCII) or float(text) > most:
            raise web.HTTPBadRequest(text=f"{name} is a number up to {most:g}\n")
        return float(text)

    def count(self, most: int) -> int:
        """Give the number in the path.

        Raises:
            HTTPBadRequest: it is none, or too big.
        """
        if not re.fullmatch(r"\d{1,12}", self.tail, re.ASCII) or int(self.tail) > most:
            raise web.HTTPBadRequest(text=f"a number up to {most} belongs into the path\n")
        return int(self.tail)


Route = Callable[[Asked], Awaitable[web.StreamResponse]]
Answered = TypeVar("Answered", web.StreamResponse, None)


async def routed(service: WebService, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request, and record it; an answer that streams has been sent when this returns."""
    if is_page(request.path) and service.answer_to(request.method, request.path) is None:
        return await paged(service.lab, request)
    try:
        body = await request.read()
    except web.HTTPException as error:  # too big
        return _record(service, request, b"", _plain(error.status, error.reason))
    if body:
        _dialogue(request).say("C", body)
    try:
        response = await _answer(service, request, body)
    except web.HTTPException as error:
        response = web.Response(status=error.status, text=error.text, headers=error.headers)
    except BaseException:  # the client left before it was answered, or the lab ends: it has asked all the same
        _record(service, request, body, None)
        raise
    return _record(service, request, body, response)


async def _answer(service: WebService, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    own = service.answer_to(request.method, request.path)
    if own is not None:
        return web.Response(status=own.status, headers=own.headers, body=own.body)
    name, _, tail = request.path.lstrip("/").partition("/")
    route = ROUTES.get(name)
    if route is None:
        return _plain(404, f"The lab has no page {request.path!r}; see asyncnet/lab/web_routes.py.")
    return await route(Asked(service, request, body, tail))


def _record(service: WebService, request: web.BaseRequest, body: bytes, response: Answered) -> Answered:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    status = 0 if response is None else response.status
    service.record(Recorded(request.method, request.path, request.query_string, headers, body, request.secure, status))
    return response


def _dialogue(request: web.BaseRequest) -> Any:
    return request.transport.conversation.dialogue  # type: ignore[union-attr]


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")


# The pages.


async def _page(asked: Asked) -> web.Response:
    return web.Response(text=f"page {asked.tail}\n")


async def _echo(asked: Asked) -> web.Response:
    request = asked.request
    form, files = _fields(request, asked.body)
    value = None
    if request.content_type.endswith("json"):
        try:
            value = await request.json()
        except ValueError:
            return _plain(400, "The body says that it is JSON, and is none.")
    return web.json_response(
        {
            "method": request.method,
            "url": str(request.url),
            "params": [list(field) for field in request.query.items()],
            "headers": [list(field) for field in request.headers.items()],
            "form": form,
            "files": files,
            "json": value,
            "body": asked.body.decode("utf-8", "replace"),
            "size": len(asked.body),
        }
    )


def _fields(request: web.BaseRequest, body: bytes) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """The fields of a form, and what is told of its files; of what is no form, nothing."""
    form: list[list[str]] = []
    files: list[dict[str, Any]] = []
    if request.content_type == "application/x-www-form-urlencoded":
        form = [list(field) for field in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)]
    elif request.content_type == "multipart/form-data":
        kind = request.headers["Content-Type"].encode("utf-8", "surrogateescape")
        parts = email.message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (kind, body)).get_payload()
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, email.message.Message):
                continue
            content = part.get_payload(decode=True)
            if not isinstance(content, bytes):
                continue  # forms in forms are of no use to anybody (RFC 7578 §4.3)
            name = str(part.get_param("name", "", "content-disposition"))
            if part.get_filename() is None:
                form.append([name, content.decode("utf-8", "replace")])
            else:
                digest = hashlib.sha256(content).hexdigest()
                told = {"name": name, "filename": part.get_filename(), "type": part.get_content_type()}
                files.append(told | {"size": len(content), "sha256": digest})
    return form, files


async def _status(asked: Asked) -> web.Response:
    status = asked.count(599)
    if status < 200:
        raise web.HTTPBadRequest(text="a status from 200 to 599\n")
    headers = _retry_after(asked)
    if status in _REDIRECTS:
        headers["Location"] = "/page/moved"
    return web.Response(status=status, headers=headers, text=None if status in (204, 304) else f"{status}\n")


def _retry_after(asked: Asked) -> dict[str, str]:
    seconds = asked.number("retry_after", -1.0, _MAX_SECONDS)
    return {"Retry-After": f"{seconds:g}"} if seconds >= 0 else {}


async def _slow(asked: Asked) -> web.Response:
    await asyncio.sleep(asked.number("seconds", 1.0, _MAX_SECONDS))
    return web.Response(text="at last\n")


async def _drip(asked: Asked) -> web.StreamResponse:
    count = int(asked.number("bytes", 10, _MAX_COUNT))
    pause = asked.number("seconds", 1.0, _MAX_SECONDS) / max(1, count)
    response = web.StreamResponse(headers={"Content-Length": str(count), "Content-Type": "application/octet-stream"})
    await response.prepare(asked.request)
    for _ in range(count):
        await response.write(b"*")
        await asyncio.sleep(pause)
    return response


async def _flaky(asked: Asked) -> web.Response:
    visits, page = asked.service.visits, asked.request.path_qs
    if len(visits) >= _MAX_FLAKY:
        visits.pop(next(iter(visits)))
    visits[page] = number = visits.pop(page, 0) + 1
    every = int(asked.number("every", 0, _MAX_COUNT))
    fails = number % every == 0 if every else number <= asked.number("fails", 1, _MAX_COUNT)
    if fails:
        status = int(asked.number("status", 503, 599))
        return web.Response(status=status, headers=_retry_after(asked), text=f"visit {number} fails\n")
    return web.Response(text=f"visit {number} is fine\n")


async def _redirect(asked: Asked) -> web.Response:
    request, left = asked.request, asked.count(_MAX_COUNT)
    status = int(asked.number("status", 302, 399))
    if status not in _REDIRECTS:
        raise web.HTTPBadRequest(text=f"a redirect is one of {', '.join(map(str, _REDIRECTS))}\n")
    if left == 0:
        to = request.query.get("to")
        if to is None:
            return web.Response(text=f"arrived by {request.method}\n")
        if not to.isprintable() or not to.isascii():
            raise web.HTTPBadRequest(text="to= is a URL\n")
        return web.Response(status=status, headers={"Location": to})
    query = urlencode(list(request.query.items()))
    where = f"/redirect/{left - 1}" + (f"?{query}" if query else "")
    if request.query.get("across"):  # another name of the same place is another origin
        other = "127.0.0.1" if request.host.startswith("localhost") else "localhost"
        service = asked.service
        scheme, port = ("https", service.tls_port) if request.secure else ("http", service.port)
        where = f"{scheme}://{other}:{port}{where}"
    return web.Response(status=status, headers={"Location": where})


async def _bytes(asked: Asked) -> web.Response:
    count = asked.count(_MAX_BYTES)
    return ranged(asked.request, count, int(asked.number("seed", 0, 1 << 32)))


async def _webhook(asked: Asked) -> web.Response:
    return web.json_response({"received": len(asked.body)})


async def _events(asked: Asked) -> web.StreamResponse:
    request = asked.request
    last = request.headers.get("Last-Event-ID", "")
    first = int(last) + 1 if re.fullmatch(r"\d{1,9}", last, re.ASCII) else 1
    count, pause = int(asked.number("count", 3, _MAX_COUNT)), asked.number("seconds", 0.0, _MAX_SECONDS)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    for number in range(first, count + 1):
        await response.write(f"id: {number}\nevent: tick\ndata: event {number}\n\n".encode())
        await asyncio.sleep(pause)
    return response


async def _login(asked: Asked) -> web.Response:
    scheme = asked.request.path.lstrip("/").partition("/")[0]
    username, challenge = is_signed_in(asked.service.lab.store, asked.request, scheme)
    if username is None:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge}, text="who are you?\n")
    return web.Response(text=f"hello {username}\n")


async def _encoded(asked: Asked) -> web.Response:
    response = web.Response(text="page " * 1000)
    response.enable_compression(web.ContentCoding.deflate if asked.tail == "deflate" else web.ContentCoding.gzip)
    return response


ROUTES: dict[str, Route] = {
    "page": _page,
    "echo": _echo,
    "form": _echo,
    "get": _echo,
    "post": _echo,
    "status": _status,
    "slow": _slow,
    "drip": _drip,
    "flaky": _flaky,
    "redirect": _redirect,
    "bytes": _bytes,
    "webhook": _webhook,
    "events": _events,
    "basic": _login,
    "digest": _login,
    "encoded": _encoded,
}
"""By the first part of the path."""
