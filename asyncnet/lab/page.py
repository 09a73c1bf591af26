"""Page: the lab in a browser: its mailboxes, its mails, and what was said in each session, live.

One page with its style and script inside, which asks this server alone; its policy forbids all else. It only looks:
nothing can be changed through it. Whoever comes by another name than that of this machine is turned away, so that no
page of the web reads it by a name that it makes lead here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from asyncnet.daemon import in_daemon
from asyncnet.errors import UsageError, printable
from asyncnet.lab import shown
from asyncnet.lab.dialogue import Dialogue
from asyncnet.lab.mailbox import SEEN, Change, Mailbox, StoredMessage

if TYPE_CHECKING:
    from asyncnet.lab.lab import Lab

_HERE = Path(__file__).parent
_MAX_LISTED = 500
_TICK = 0.25
"""Seconds between two looks at what was said; mail is told of at once."""

_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)


def is_page(path: str) -> bool:
    """Whether a path belongs to the page."""
    return path == "/" or path.startswith("/lab/")


async def paged(lab: Lab, request: web.BaseRequest) -> web.StreamResponse:
    """Answer for the page."""
    if not _is_ours(lab, request.host):
        return _refused(403, "The lab is seen by the name of this machine alone: http://127.0.0.1.")
    if request.method not in ("GET", "HEAD"):
        return _refused(405, "The page only looks.")
    try:
        if request.path == "/":
            policy, text = page()
            headers = {**_SAFE, "Content-Security-Policy": policy}
            return web.Response(text=text, content_type="text/html", headers=headers)
        view = _VIEWS.get(request.path)
        return await view(lab, request) if view is not None else _refused(404, "No such page.")
    except UsageError as error:
        return _refused(404, str(error))


def _is_ours(lab: Lab, host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":\d*\Z", host) else host
    return name in ("127.0.0.1", "localhost", "[::1]", lab.host)


@cache
def page() -> tuple[str, str]:
    """Give the page, and the policy that lets nothing run or load but what it holds."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    body = (_HERE / "page.html").read_text(encoding="utf-8")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src data:; "
        f"connect-src 'self'; frame-src 'self'; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return policy, body.replace("/*style*/", style).replace("/*script*/", script)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


# What it asks for.


def _mailbox(lab: Lab, request: web.BaseRequest) -> Mailbox:
    return lab.mailbox(request.query.get("account", ""), request.query.get("mailbox", "INBOX"))


def _message(lab: Lab, request: web.BaseRequest) -> StoredMessage:
    uid = request.query.get("uid", "")
    found = _mailbox(lab, request).get(int(uid)) if _NUMBER.fullmatch(uid) else None
    if found is None:
        raise UsageError("That mail has gone.")
    return found


async def _state(lab: Lab, request: web.BaseRequest) -> web.Response:
    mailboxes = [
        {
            "account": account.username,
            "name": mailbox.name,
            "count": len(mailbox),
            "unseen": sum(SEEN not in message.flags for message in mailbox),
        }
        for account in lab.store.accounts.values()
        for mailbox in account
        if len(mailbox) or mailbox.name in ("INBOX", "Sent")
    ]
    talks = [_talk(dialogue) for dialogue in lab.dialogues if dialogue.lines]
    places = [[service.name, url] for service in lab.services if isinstance(url := getattr(service, "url", None), str)]
    return _json({"mailboxes": mailboxes, "talks": talks[::-1], "sent": len(lab.sent), "places": places})


def _talk(dialogue: Dialogue) -> dict[str, Any]:
    return {
        "protocol": dialogue.protocol,
        "number": dialogue.number,
        "peer": dialogue.peer,
        "username": dialogue.username and printable(dialogue.username),
        "began": dialogue.began,
        "ended": dialogue.ended,
        "lines": len(dialogue.lines),
        "faults": sum(line.who == "!" and line.data.startswith(b"Fault(") for line in tuple(dialogue.lines)),
        "tls": any(line.who == "!" and line.data.startswith(b"TLS") for line in tuple(dialogue.lines)),
    }


async def _list(lab: Lab, request: web.BaseRequest) -> web.Response:
    messages = _mailbox(lab, request).messages
    rows = [_row(message) for message in reversed(messages[-_MAX_LISTED:])]
    return _json({"total": len(messages), "rows": rows})


def _row(message: StoredMessage) -> dict[str, Any]:
    said = message.memo.get("page")
    if said is None:
        said = message.memo["page"] = shown.summary(message.raw)
    return said | {
        "uid": message.uid,
        "size": message.size,
        "flags": sorted(map(printable, message.flags)),
        "received": message.received.timestamp(),
    }


async def _mail(lab: Lab, request: web.BaseRequest) -> web.Response:
    message = _message(lab, request)
    return _json(_row(message) | await in_daemon(partial(shown.mail, message.raw)))


async def _frame(lab: Lab, request: web.BaseRequest) -> web.Response:
    text = await in_daemon(partial(shown.frame, _message(lab, request).raw))
    policy = f"{shown.FRAME_POLICY}; frame-ancestors 'self'"
    return web.Response(
        body=text.encode("utf-8", "replace"),
        headers={**_SAFE, "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy},
    )


async def _source(lab: Lab, request: web.BaseRequest) -> web.Response:
    message = _message(lab, request)
    if request.query.get("download"):
        return _download(f"message-{message.uid}.eml", message.raw)
    return _json({"text": shown.visible(message.raw.decode("utf-8", "replace"))})


async def _attachment(lab: Lab, request: web.BaseRequest) -> web.Response:
    number = request.query.get("number", "")
    message = _message(lab, request)
    found = None
    if _NUMBER.fullmatch(number):
        found = await in_daemon(partial(shown.attachment, message.raw, int(number)))
    return _download(*found) if found is not None else _refused(404, "No such attachment.")


def _download(name: str, data: bytes) -> web.Response:
    # Never shown, whatever it says it is: a browser that saves it does not run it.
    headers = {
        **_SAFE,
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return web.Response(body=data, headers=headers)


async def _dialogue(lab: Lab, request: web.BaseRequest) -> web.Response:
    key = (request.query.get("protocol"), request.query.get("number"))
    for dialogue in lab.dialogues:
        if (dialogue.protocol, str(dialogue.number)) == key:
            lines = [
                {
                    "at": line.at,
                    "who": line.who,
                    "text": shown.visible(line.data.decode("utf-8", "backslashreplace")),
                    "more": line.size - len(line.data),
                }
                for line in tuple(dialogue.lines)
            ]
            return _json(_talk(dialogue) | {"said": lines})
    return _refused(404, "That session is forgotten.")


async def _news(lab: Lab, request: web.BaseRequest) -> web.StreamResponse:
    """Tell by server-sent events that there is something new, until the browser leaves."""
    response = web.StreamResponse(headers={**_SAFE, "Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"retry: 1000\n\n")
    news = asyncio.Event()
    stop = lab.store.listen(partial(_rung, news))
    before = _pulse(lab)
    beats = 0
    try:
        while True:
            try:
                async with asyncio.timeout(_TICK):
                    await news.wait()
            except TimeoutError:
                beats += 1
            now = _pulse(lab)
            if news.is_set() or now != before:
                news.clear()
                before = now
                await response.write(b"data: news\n\n")
            elif beats % 60 == 0:
                await response.write(b": still here\n\n")  # a browser that has left is noticed by that
    finally:
        stop()


def _rung(news: asyncio.Event, change: Change) -> None:
    news.set()


def _pulse(lab: Lab) -> tuple[int, int, int]:
    talks = [dialogue for dialogue in lab.dialogues if dialogue.lines]
    return len(talks), sum(len(dialogue.lines) for dialogue in talks), sum(dialogue.ended for dialogue in talks)


_VIEWS = {
    "/lab/state": _state,
    "/lab/list": _list,
    "/lab/mail": _mail,
    "/lab/frame": _frame,
    "/lab/source": _source,
    "/lab/attachment": _attachment,
    "/lab/dialogue": _dialogue,
    "/lab/news": _news,
}


def _json(value: Any) -> web.Response:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return web.Response(text=text, content_type="application/json", headers=_SAFE)


def _refused(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=html.escape(text) + "\n", headers=_SAFE)
