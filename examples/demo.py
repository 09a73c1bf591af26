"""The main job on servers of our own: python examples/demo.py (or `make demo`).

An echo server and a web page come up on loopback; 200 jobs fetch from both at once, over TCP and HTTP, while one host
fails at first and recovers by retries.
"""

import asyncio
import time
from collections import Counter

from aiohttp import web

import asyncnet
from asyncnet import jobs


class Site:
    """A small web site whose /flaky page refuses its first two visitors."""

    def __init__(self) -> None:
        self.visits: Counter[str] = Counter()

    async def page(self, request: web.Request) -> web.Response:
        """Serve any page."""
        self.visits[request.path] += 1
        if request.path == "/flaky" and self.visits["/flaky"] <= 2:
            return web.Response(status=503, text="not yet", headers={"Retry-After": "0"})
        return web.Response(text=f"page {request.path}")


async def shout(connection: asyncnet.Connection) -> None:
    """Say one line and end, so that a fetch knows the end."""
    await connection.write(b"hello from a socket\n")


async def main() -> int:
    """Bring the servers up, run the jobs, print what came of them; 0 where all is well."""
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await (place := web.TCPSite(runner, "127.0.0.1", 0)).start()
        host, port = place._server.sockets[0].getsockname()[:2]  # type: ignore[union-attr]
        async with asyncnet.serve(shout, "tcp://127.0.0.1:0") as greeter:
            return await run_jobs(f"http://{host}:{port}", greeter.endpoint)
    finally:
        await runner.cleanup()


async def run_jobs(base: str, greeter: asyncnet.Endpoint) -> int:
    """Fetch 200 things at once, and tell."""
    async with asyncnet.serve(asyncnet.echo, "tcp://127.0.0.1:0") as server, asyncnet.connect(server.endpoint) as echo:
        await echo.write(b"is anybody there?\n")
        print("echo server:", (await echo.read_until(b"\n")).decode().strip())

    down, mirror = jobs.fetch("http://127.0.0.1:1/down"), jobs.fetch(f"{base}/mirror")
    first = jobs.first_of(down, mirror, name="the first of two mirrors")
    flaky = jobs.fetch(f"{base}/flaky", retry=jobs.Retry(attempts=4, first_delay=0.05), name="a page that fails twice")
    sockets = [jobs.fetch(greeter, name=f"socket {i}") for i in range(98)]
    pages = [jobs.fetch(f"{base}/{i}", name=f"page {i}") for i in range(100)]
    began = time.perf_counter()
    outcomes = await jobs.run([first, flaky, *sockets, *pages], limit=32, per_host=16, timeout=30.0)
    seconds = time.perf_counter() - began

    for outcome in outcomes[:2]:
        said = outcome.error or outcome.result().text()
        print(f"{outcome.name}: {said} ({outcome.attempts} attempts)")
    done = sum(outcome.ok for outcome in outcomes)
    print(f"{done} of {len(outcomes)} jobs done in {seconds:.2f} s, {done / seconds:.0f} a second")
    print("next: asyncnet echo, asyncnet fetch --help, and the recipes in examples/")
    return 0 if done == len(outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
