r"""Web: the lab's HTTP: pages that behave badly on request, a recorder of webhooks, the inbox in a browser.

    lab.http.url                                        http://127.0.0.1:49152, and tls_url beside it
    lab.http.answer("/users", json=[{"name": "a"}])     what a page of your own says
    lab.requests[-1].json()                             what was posted to /webhook/NAME, or anywhere else
    lab.faults.on("http", "GET /users", refuse=True)    a 503, and every other fault; "GET" is every GET

What is there: see web_routes.py. In HTTP `refuse` and `bye` are 503, `greylist` is 429 with Retry-After the first time
a request line comes; after an answer in place of the page the connection is closed.
"""

from __future__ import annotations

import asyncio
import json as json_codec
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncnet.errors import NetError, UsageError
from asyncnet.lab.conversation import Conversation
from asyncnet.lab.dialogue import Dialogue
from asyncnet.lab.faults import CONNECT
from asyncnet.lab.manner import Manner
from asyncnet.lab.recorded import Recorded
from asyncnet.lab.service import LineService
from asyncnet.lab.wire import Ended

if TYPE_CHECKING:  # a lab that nobody asks for a page does not pay for aiohttp
    from aiohttp import web

    from asyncnet.lab.lab import Lab

_MAX_RECORDED_BYTES = 134_217_728
"""Of the bodies in `lab.requests` together; beyond, the earliest requests are forgotten."""

_MAX_ANSWERS = 10_000
_KEEPALIVE_SECONDS = 75.0
_SECRET = re.compile(rb"(?im)^((?:proxy-)?authorization|cookie)(:[ \t]*)[^\r\n]*")
_PATH = re.compile(r"(?:(?P<method>[A-Z]+) )?(?P<path>/[!-~]*)")

HTTP = Manner(
    "http",
    refusal=b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n",
    goodbye=b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n",
    endless=b"HTTP/1.1 102 Processing\r\n",  # as many may come as the server likes (RFC 9110 §15.2)
    later=b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nConnection: close\r\nContent-Length: 0\r\n",
)

_logger = logging.getLogger(__name__)


class Answer:
    """What a page says; made by `WebService.answer`.

    Attributes:
        status, headers, body: see there.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = dict(headers)
        self.body = body


class WebService(LineService):
    """The web server: `http://` at one port, `https://` at the other.

    Attributes:
        visits: how often each `/flaky` page has been asked for.
    """

    def __init__(self, *, port: int = 0, tls_port: int = 0) -> None:
        super().__init__(HTTP, self._talk, port=port, tls_port=tls_port)
        self.visits: dict[str, int] = {}
        self._answers: dict[tuple[str, str], Answer] = {}
        self._server: web.Server | None = None
        self._recorded_bytes = 0

    # What tests say.

    def answer(
        self,
        path: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
        json: Any = None,
    ) -> None:
        """Let a page say this from now on, in place of what it said.

        Args:
            path: of the page, `/users`; `POST /users` is for that method alone.
            status: from 200 to 599.
            headers: beside Content-Length and Content-Type.
            body: what it says; text is sent as UTF-8.
            json: in place of `body`, a value to be sent as JSON.

        Raises:
            UsageError: no path, a status that is none, a header with a control character, both `body` and `json`.
        """
        found = _PATH.fullmatch(path)
        if found is None or not 200 <= status <= 599:
            raise UsageError(f"an answer is for a path and has a status from 200 to 599, not {path!r} and {status}")
        if json is not None and body:
            raise UsageError("an answer has a body or json, not both")
        fields = {"Content-Type": "application/json" if json is not None else "text/plain; charset=utf-8"}
        fields |= dict(headers or {})
        if any(not text.isprintable() or not text.isascii() for field in fields.items() for text in field):
            raise UsageError("a header of an answer is of printable ASCII")
        if len(self._answers) >= _MAX_ANSWERS:
            raise UsageError(f"there are {_MAX_ANSWERS} answers already")
        data = json_codec.dumps(json).encode() if json is not None else body
        made = Answer(status, fields, data.encode() if isinstance(data, str) else data)
        self._answers[found["method"] or "", found["path"]] = made

    def webhook_url(self, name: str) -> str:
        """Give the URL that records what is posted to it: `lab.requests`, each with `.webhook == name`."""
        return f"{self.url}/webhook/{name}"

    def answer_to(self, method: str, path: str) -> Answer | None:
        """Give what `answer` was told for this page."""
        return self._answers.get((method, path)) or self._answers.get(("", path))

    @property
    def lab(self) -> Lab:
        """The lab that it belongs to, once started."""
        if self._lab is None:
            raise UsageError("the lab's http has not been started")
        return self._lab

    def record(self, request: Recorded) -> None:
        """Keep a request in `lab.requests`; the earliest go when all together are too big."""
        requests = self.lab.requests
        self._recorded_bytes = len(request.body) + (self._recorded_bytes if requests else 0)
        while requests and (self._recorded_bytes > _MAX_RECORDED_BYTES or len(requests) == requests.maxlen):
            self._recorded_bytes -= len(requests.popleft().body)
        self.lab.record(request)

    # One client.

    async def _talk(self, conversation: Conversation) -> None:
        from asyncnet.lab.carrier import Carrier

        await conversation.begin(CONNECT)
        await Carrier(conversation, self._protocols()()).run()

    def _protocols(self) -> web.Server:
        if self._server is None:
            from aiohttp import web

            self._server = web.Server(
                self._handle,
                request_factory=self._request,
                handler_cancellation=True,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                access_log=None,
                logger=_logger,
            )
        return self._server

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        from aiohttp import web

        loop, most = asyncio.get_running_loop(), self.lab.max_message_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=most)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        from asyncnet.lab.carrier import Carrier

        carrier = request.transport
        try:
            if isinstance(carrier, Carrier):
                return await self._answered(request, carrier)
        except (Ended, NetError):
            assert isinstance(carrier, Carrier)
            carrier.close()
        return web.Response()  # nobody hears it: the carrier takes no more

    async def _answered(self, request: web.BaseRequest, carrier: Any) -> web.StreamResponse:
        """Answer, unless a fault does; when this returns, the answer has left and its fault is done."""
        from asyncnet.lab.page import is_page
        from asyncnet.lab.web_routes import routed

        conversation: Conversation = carrier.conversation
        if (
            is_page(request.path) and self.answer_to(request.method, request.path) is None
        ):  # watching the lab is not part of what is watched
            before, conversation.dialogue = conversation.dialogue, Dialogue("http", 0, "")
            try:
                return await sent(request, await routed(self, request), carrier)
            finally:
                conversation.dialogue = before
        conversation.dialogue.say("C", _head(request))
        verb = f"{request.method} {request.path}".upper()
        line = f"{request.method} {request.path_qs}"
        if not await carrier.begin(verb, line, request.method.upper()):
            await carrier.settle()
            raise Ended
        if request.headers.get("Expect", "").lower() == "100-continue" and request.can_read_body:
            await conversation.prompt(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await sent(request, await routed(self, request), carrier)

    async def aclose(self) -> None:
        """Stop at once, clients too. Idempotent."""
        await super().aclose()
        self._server = None


async def sent(request: web.BaseRequest, response: web.StreamResponse, carrier: Any) -> web.StreamResponse:
    """Send the whole answer, and wait until it has left; aiohttp finds nothing more to do."""
    await response.prepare(request)
    await response.write_eof()
    await carrier.settle()
    return response


def _head(request: web.BaseRequest) -> bytes:
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in request.raw_headers)
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    line = f"{request.method} {request.path_qs} {version}\r\n".encode("utf-8", "surrogateescape")
    return line + _SECRET.sub(rb"\1\2(a secret)", fields) + b"\r\n"
