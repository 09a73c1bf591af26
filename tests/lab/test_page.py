"""The page: what a browser may see of a mail, and a real browser that sees it."""

import asyncio
import email.message
import json
import re
from pathlib import Path

import pytest

from asyncnet import http, imap, smtp
from asyncnet.lab import Lab, shown
from tests.lab.browser import CHROMIUM, browser
from tests.lab.hostile import HOSTILE
from tests.lab.raw import raw

NOTE = b"From: Ada <ada@example.com>\r\nTo: me@example.org\r\nSubject: Numbers\r\n\r\nSee below.\r\n"


async def view(lab: Lab, path: str, **query: object) -> dict:
    answer = await http.get(f"{lab.http.url}/lab/{path}", params={name: str(value) for name, value in query.items()})
    assert answer.status == 200
    return answer.json()


# What is shown of a mail.


def test_a_hostile_head_is_shown_bounded_and_escaped() -> None:
    said = shown.summary(HOSTILE)
    assert said["from"] == "Mallory \\u202egro.live <mallory@evil.example>"
    assert said["subject"].startswith("<script>document.title='owned'</script>")
    assert "\\u202etxt.exe \\x1b[31m" in said["subject"]
    assert len(said["subject"]) < 2100
    mail = shown.mail(HOSTILE)
    assert all(text.isprintable() and len(text) < 2100 for field in mail["headers"] for text in field)
    assert mail["text"] == "Plain \\x00\\x07 \\u202edesrever <b>tags</b>."
    assert [one["name"] for one in mail["attachments"]] == ["part.png", "in_voice.html"]
    json.dumps(mail).encode()


def test_html_keeps_its_look_and_loses_all_that_runs_or_loads() -> None:
    pytest.importorskip("nh3")
    frame = shown.frame(HOSTILE)
    body = frame[frame.index("<body>") :].lower()
    assert '<h2 style="color:#0a5">' in body
    assert 'src="data:image/png;base64,' in body
    assert body.count("evil.example") == 1  # the link, which the frame may not follow
    assert 'href="http://evil.example/l"' in body
    for bad in ("script", "onerror", "onclick", "onload", "javascript", "url(", "<form", "<iframe", "<style", "<meta"):
        assert bad not in body
    for tag in ("<base", "<link", "<object", "<video", "<svg", "<input", "srcset", "data:text"):
        assert tag not in body


def test_without_nh3_no_html_is_shown(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nh3", None)
    assert "asyncnet[lab]" in shown.frame(HOSTILE)
    assert "invoice" not in shown.frame(HOSTILE)


@pytest.mark.parametrize(
    "raw_mail",
    [
        b"",
        b"\xff\xfe no header\r\n",
        b"Subject: =?utf-8?b?!!!?= =?nope?q?x?=\r\n\r\nx",
        b"Content-Type: text/plain; charset=nonsense\r\n\r\n\xff",
        b"Content-Type: text/html; charset=\x00\r\n\r\n<b>x",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx",
        b"Content-Disposition: attachment; filename*=utf-8''%FF%FE\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n"
        + b"--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n" * 2000,
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(3000)),
        b"From: " + b"(" * 20_000 + b"\r\n\r\nx",
    ],
)
def test_no_mail_is_too_odd_to_be_shown(raw_mail: bytes) -> None:
    for show in (shown.summary, shown.mail, shown.frame):
        show(raw_mail)
    assert shown.attachment(raw_mail, 999) is None


def test_a_forwarded_mail_is_an_attachment() -> None:
    outer = email.message.EmailMessage()
    outer.set_content("see\n")
    inner = email.message.EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("x\n")
    outer.add_attachment(inner)
    [told] = shown.mail(outer.as_bytes())["attachments"]
    found = shown.attachment(outer.as_bytes(), told["number"])
    assert found is not None
    assert b"Subject: inner" in found[1]


# What the server gives to the page.


async def test_the_lists_tell_mailboxes_mails_and_sessions(lab: Lab) -> None:
    lab.deliver(NOTE, flags={"\\Seen", "\\Flagged"})
    lab.deliver(NOTE, "you")
    await imap.fetch(lab.imap.url, lab.credentials)
    state = await view(lab, "state")
    inbox = {"account": "me", "name": "INBOX", "count": 1, "unseen": 0}
    assert inbox in state["mailboxes"]
    assert {"account": "you", "name": "INBOX", "count": 1, "unseen": 1} in state["mailboxes"]
    [talk] = state["talks"]  # the page's own requests are no sessions
    assert (talk["protocol"], talk["username"], talk["ended"], talk["faults"]) == ("imap", "me", True, 0)
    listed = await view(lab, "list", account="me", mailbox="INBOX")
    [row] = listed["rows"]
    assert (row["subject"], row["from"], row["uid"]) == ("Numbers", "Ada <ada@example.com>", 1)
    assert row["flags"] == ["\\Flagged", "\\Seen"]
    mail = await view(lab, "mail", account="me", mailbox="INBOX", uid=1)
    assert (mail["text"], mail["has_html"], mail["attachments"]) == ("See below.\n", False, [])
    said = (await view(lab, "dialogue", protocol="imap", number=1))["said"]
    assert {"C", "S"} == {line["who"] for line in said}
    assert not lab.requests


async def test_attachments_and_sources_are_only_ever_downloads(lab: Lab) -> None:
    lab.deliver(HOSTILE)
    query = {"account": "me", "mailbox": "INBOX", "uid": "1"}
    number = (await view(lab, "mail", **query))["attachments"][1]["number"]
    answer = await http.get(f"{lab.http.url}/lab/attachment", params=query | {"number": str(number)})
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''in_voice.html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.body == b"<script>alert(1)</script>"
    whole = await http.get(f"{lab.http.url}/lab/source", params=query | {"download": "1"})
    assert whole.body == lab.mailbox().messages[0].raw
    frame = await http.get(f"{lab.http.url}/lab/frame", params=query)
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert "default-src 'none'" in frame.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "mail?account=me&mailbox=INBOX&uid=7",
        "mail?account=me&mailbox=INBOX&uid=x",
        "list?account=eve",
        "list?account=me&mailbox=Nowhere",
        "attachment?account=me&mailbox=INBOX&uid=1&number=9",
        "dialogue?protocol=imap&number=9",
        "nothing",
    ],
)
async def test_what_is_not_there_is_a_404(lab: Lab, path: str) -> None:
    lab.deliver(NOTE)
    assert (await http.get(f"{lab.http.url}/lab/{path}")).status == 404


async def test_another_name_is_turned_away_and_nothing_can_be_changed(lab: Lab) -> None:
    async with raw(lab.http.port, b"") as client:
        await client.send(b"GET /lab/state HTTP/1.1\r\nHost: evil.example:80\r\nConnection: close\r\n\r\n")
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 403")
    assert (await http.post(f"{lab.http.url}/lab/state", body=b"")).status == 405


async def test_the_page_refers_to_nothing_outside_of_it(lab: Lab) -> None:
    answer = await http.get(f"{lab.http.url}/")
    text = answer.text()
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    outside = set(re.findall(r"https?://[^\s\"'<>]+", text)) - {"http://www.w3.org/2000/svg"}
    assert not outside
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text)


async def test_news_come_as_they_happen(lab: Lab) -> None:
    async with raw(lab.http.port, b"") as client:
        await client.send(b"GET /lab/news HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await client.read(b"retry: 1000")
        lab.deliver(NOTE)
        await client.read(b"data: news")
        await smtp.send(NOTE, lab.smtp.url, sender="a@b.example", recipients=["c@elsewhere.example"])
        await client.read(b"data: news")  # a session is news too, though no mailbox changed
    await lab.until(lambda: all(dialogue.ended for dialogue in lab.dialogues))


# A real browser.


@pytest.mark.real
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
async def test_a_real_browser_shows_all_of_it_harms_nobody_and_stays_at_home(lab: Lab, tmp_path: Path) -> None:
    lab.deliver(NOTE)
    lab.deliver(HOSTILE)
    lab.faults.on("imap", "NOOP", refuse=True)
    await imap.fetch(lab.imap.url, lab.credentials)
    async with browser(tmp_path / "home") as page:
        await page.size(1280, 800)
        await page.open(f"{lab.http.url}/")
        await page.until("document.querySelectorAll('#rows button').length === 2")
        await page.click("#rows button", "<script>")
        await page.click(".tabs button", "HTML")
        await page.until("document.querySelector('iframe')")
        await asyncio.sleep(0.3)  # time for whatever would run or load
        assert await page.value("document.querySelector('iframe').getAttribute('sandbox')") == ""
        assert await page.value("document.title") == "asyncnet lab"
        await page.click(".tabs button", "Headers")
        await page.until("document.querySelector('th')")
        await page.click(".tabs button", "Source")
        await page.until("document.querySelector('.body pre')")
        assert await page.value("document.querySelectorAll('#detail script, #rows script, #rows img').length") == 0

        light = await page.picture(tmp_path / "light.png")
        await page.scheme("dark")
        assert await page.picture(tmp_path / "dark.png") != light

        await page.click("#rows button", "Numbers")
        await page.until("document.querySelector('pre.text')?.textContent.includes('See below.')")
        lab.deliver(NOTE.replace(b"Numbers", b"Live"), flags={"\\Flagged"})
        await page.click("#rows button", "Live")  # it comes by itself

        await page.click("nav button", "Sessions")
        await page.click("#rows button", "IMAP 1")
        await page.until("document.querySelector('.said .C pre')?.textContent")
        assert "(a secret)" in str(await page.value("document.querySelector('.said').textContent"))

        for width in (1280, 800, 390):
            await page.size(width, 800)
            assert await page.value("document.documentElement.scrollWidth <= window.innerWidth")
        await page.click("button.back")
        assert await page.value("document.body.dataset.pane") == "list"
        outside = [url for url in page.requests if not url.startswith((f"{lab.http.url}/", "data:", "about:"))]
        assert (outside, page.complaints, page.dialogs) == ([], [], [])


async def test_an_image_named_again_and_again_does_not_fill_the_memory() -> None:
    pytest.importorskip("nh3")
    mail = email.message.EmailMessage()
    mail.set_content('<img src="cid:a">' * 2000, subtype="html")
    mail.add_related(b"\x89PNG" + b"x" * 100_000, "image", "png", cid="<a>")
    frame = shown.frame(mail.as_bytes())
    assert 'src="data:image/png;base64,' in frame
    assert len(frame) < 11_000_000


async def test_an_answer_of_the_tests_stands_before_the_page(lab: Lab) -> None:
    lab.http.answer("POST /", body="mine")
    answer = await http.post(lab.http.url, body=b"x")
    assert answer.text() == "mine"
    assert [(request.path, request.body) for request in lab.requests] == [("/", b"x")]
    assert "asyncnet lab" in (await http.get(lab.http.url)).text()
