"""Browser: a headless Chromium, driven by its DevTools protocol: what a page shows, asks for and complains about."""

import asyncio
import base64
import contextlib
import json
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PATIENCE = 30.0
"""Seconds for a browser to start, or for a page to show something, on a busy machine."""


class Page:
    """One page of the browser; what it asked the network for is in `requests`, what went wrong in `complaints`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self._socket = socket
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict]] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def command(self, method: str, **parameters: object) -> dict:
        self._number += 1
        number = self._number
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            return await self._waiting[number]

    async def _listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            parameters = said.get("params", {})
            if "id" in said:
                future = self._waiting.pop(said["id"])
                if "error" in said:
                    future.set_exception(RuntimeError(str(said["error"])))
                else:
                    future.set_result(said["result"])
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            elif said["method"] == "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"].get("exception", parameters)))
            elif said["method"] == "Page.javascriptDialogOpening":
                self.dialogs.append(parameters["message"])

    async def open(self, url: str) -> None:
        for domain in ("Network", "Log", "Runtime", "Page"):
            await self.command(f"{domain}.enable")
        await self.command("Page.navigate", url=url)

    async def value(self, expression: str) -> object:
        """What the script on the page says."""
        found = await self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until this is true on the page."""
        async with asyncio.timeout(PATIENCE):
            while not await self.value(f"Boolean({expression})"):  # noqa: ASYNC110 - the page does not tell
                await asyncio.sleep(0.02)

    async def click(self, selector: str, text: str = "") -> None:
        """Click the first element of that selector that holds the text, as soon as there is one."""
        find = f"[...document.querySelectorAll({selector!r})].find((one) => one.textContent.includes({text!r}))"
        await self.until(find)
        await self.value(f"{find}.click()")

    async def size(self, width: int, height: int) -> None:
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def scheme(self, name: str) -> None:
        """`light` or `dark`."""
        await self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    async def picture(self, path: Path) -> bytes:
        found = await self.command("Page.captureScreenshot", format="png")
        data = base64.b64decode(found["data"])
        path.write_bytes(data)
        return data

    async def aclose(self) -> None:
        await self._socket.close()
        await self._listening


@contextlib.asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A browser with one empty page; `folder` is its home, and ends up full of what it keeps."""
    assert CHROMIUM
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"]
    options += ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *options,
        f"--user-data-dir={folder}",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port = folder / "DevToolsActivePort"
        async with asyncio.timeout(PATIENCE):
            while not (port.exists() and port.read_text().count("\n")):  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)
        place = f"http://127.0.0.1:{port.read_text().split()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{place}/json/list") as answer:
                url = next(one for one in await answer.json() if one["type"] == "page")["webSocketDebuggerUrl"]
            async with session.ws_connect(url, max_msg_size=0) as socket:
                page = Page(socket)
                try:
                    yield page
                finally:
                    await page.aclose()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
