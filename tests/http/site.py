"""A good server on loopback: pages of aiohttp's own server, for what should work."""

import asyncio
import email
import email.policy
import gzip
import random
import ssl
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.clock import MS

BIG = random.Random(0).randbytes(1 << 20) + bytes(1 << 20)  # half of it can be packed


class Site:
    """Pages on 127.0.0.1; `requests` notes what was asked, as (method, path with query)."""

    def __init__(self, tls: ssl.SSLContext | None = None, path: str | None = None) -> None:
        self.requests: list[tuple[str, str]] = []
        self.heads: list[dict[str, str]] = []
        self.connections: set[object] = set()
        self.tls = tls
        self._path = path
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def url(self) -> str:
        """Its root, without the last slash."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        for path, page in PAGES.items():
            app.router.add_route("*", path, self._noting(page))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        if self._path:
            await web.UnixSite(self._runner, self._path).start()
        else:
            await web.TCPSite(self._runner, self.host, 0, ssl_context=self.tls).start()
            self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def _noting(self, page):
        async def noted(request: web.Request) -> web.StreamResponse:
            self.requests.append((request.method, request.path_qs))
            self.heads.append(dict(request.headers))
            self.connections.add(request.transport)
            return await page(request)

        return noted


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.method} {request.path_qs}")


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.Response(body=body, headers={"X-Type": request.headers.get("Content-Type", "none")})


async def form(request: web.Request) -> web.Response:
    fields: list[list[object]] = []
    if request.content_type == "multipart/form-data":
        # By the standard library: aiohttp's own reader warns about itself.
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + await request.read(), policy=email.policy.HTTP.clone(utf8=True))
        for part in message.iter_parts():
            name, content = part.get_param("name", header="Content-Disposition"), part.get_payload(decode=True)
            if part.get_filename() is not None:
                fields.append([name, part.get_filename(), part.get_content_type(), len(content)])
            else:
                fields.append([name, content.decode()])
    else:
        fields = [[name, value] for name, value in (await request.post()).items()]
    return web.json_response({"query": list(request.query.items()), "fields": fields})


async def status(request: web.Request) -> web.Response:
    code = int(request.match_info["code"])
    headers = {"Retry-After": "3"} if code == 429 else {}
    return web.Response(status=code, reason="As Asked", text="body", headers=headers)


async def to(request: web.Request) -> web.Response:
    code = int(request.match_info["code"])
    return web.Response(status=code, headers={"Location": request.query["url"]}, text="moved")


async def hops(request: web.Request) -> web.Response:
    left = int(request.match_info["count"])
    return web.Response(text="there") if not left else web.Response(status=302, headers={"Location": str(left - 1)})


async def big(request: web.Request) -> web.StreamResponse:
    if "chunked" not in request.query:
        return web.Response(body=BIG)
    response = web.StreamResponse()
    await response.prepare(request)
    for start in range(0, len(BIG), 100_000):
        await response.write(BIG[start : start + 100_000])
    return response


async def coded(request: web.Request) -> web.Response:
    coding = request.match_info["coding"]
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=BIG)
    body = {"gzip": gzip.compress, "deflate": zlib.compress}[coding](BIG)
    return web.Response(body=body, headers={"Content-Encoding": coding})


async def cookies(request: web.Request) -> web.Response:
    response = web.json_response(dict(request.cookies))
    for name, value in request.query.items():
        response.set_cookie(name, value)
    return response


async def private(request: web.Request) -> web.Response:
    wanted = {"Basic YWxpY2U6c2VjcmV0", "Bearer good"}  # alice:secret
    if request.headers.get("Authorization") in wanted:
        return web.Response(text="welcome")
    return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def goodbye(request: web.Request) -> web.Response:
    response = web.Response(text="bye")
    response.force_close()
    return response


PAGES = {
    "/": hello,
    "/hello": hello,
    "/echo": echo,
    "/form": form,
    "/status/{code}": status,
    "/to/{code}": to,
    "/hops/{count}": hops,
    "/big": big,
    "/coded/{coding}": coded,
    "/cookies": cookies,
    "/private": private,
    "/slow": slow,
    "/goodbye": goodbye,
}


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(5000 * MS):
        while not condition():  # noqa: ASYNC110 (it is not ours to set an event)
            await asyncio.sleep(0)
