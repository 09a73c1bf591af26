"""The lab as a whole: up and down, one memory behind all servers, and nothing left of it."""

import asyncio
import contextlib
import email.message
import gc
import ssl
import time
from collections import Counter

import pytest

from asyncnet import ConnectError, Credentials, DeadlineError, TLSError, UsageError, connect, imap, pop3, smtp
from asyncnet.lab import Dialogue, Lab, OverQuota
from asyncnet.streams.server import Server, serve
from tests.clock import MS
from tests.lab.raw import raw
from tests.leaks import open_sockets

NOTE = b"From: a@example.com\r\nSubject: note\r\n\r\nbody\r\n"
TO = {"sender": "a@example.com", "recipients": ["me@example.org"]}


async def test_mail_sent_by_smtp_comes_by_imap_and_pop3(lab: Lab) -> None:
    note = smtp.compose(sender="a@example.com", to=["me@example.org", "You <you@example.org>"], subject="hi", text="x")
    receipt = await smtp.send(note, lab.smtp.url)
    assert set(receipt.accepted) == {"me@example.org", "you@example.org"}
    [sent] = lab.sent
    assert sent.parse()["Subject"] == "hi"
    for name in ("me", "you"):
        [stored] = lab.mailbox(name).messages
        [by_imap] = await imap.fetch(lab.imap.url, lab.credentials_of(name))
        [by_pop3] = await pop3.fetch(lab.pop3.url, lab.credentials_of(name))
        assert by_imap.raw == by_pop3.raw == stored.raw
        assert stored.raw.endswith(sent.raw)


@pytest.mark.parametrize("scheme", ["url", "starttls_url", "tls_url"])
async def test_every_url_works_as_it_is(lab: Lab, scheme: str) -> None:
    tls = None if scheme == "url" else lab.tls
    await smtp.send(NOTE, getattr(lab.smtp, scheme), lab.credentials, **TO, tls=tls)
    assert len(await imap.fetch(getattr(lab.imap, scheme), lab.credentials, tls=tls)) == 1
    assert len(await pop3.fetch(getattr(lab.pop3, scheme), lab.credentials, tls=tls)) == 1
    if scheme != "starttls_url":
        async with connect(getattr(lab.echo, scheme), tls=tls) as connection:
            await connection.write(b"hello")
            assert await connection.read_exactly(5) == b"hello"


async def test_who_does_not_trust_the_lab_is_told(lab: Lab) -> None:
    with pytest.raises(TLSError):
        await pop3.fetch(lab.pop3.tls_url, lab.credentials)
    context = ssl.create_default_context(cadata=lab.ca_pem.decode())
    assert await pop3.fetch(lab.pop3.tls_url, lab.credentials, tls=context) == []


async def test_deliver_takes_what_a_caller_has(lab: Lab) -> None:
    made = email.message.EmailMessage()
    made["Subject"] = "grün"
    made.set_content("text\n")
    lab.deliver(made)
    lab.deliver("Subject: x\n\none\rtwo", to="you@example.org", flags={"\\Seen"})
    lab.deliver(b"\xff", "you", mailbox="Archive")
    assert lab.mailbox().messages[0].raw.startswith("Subject: grün\r\n".encode())
    [message] = lab.mailbox("you").messages
    assert (message.raw, message.flags) == (b"Subject: x\r\n\r\none\r\ntwo\r\n", {"\\Seen"})
    assert lab.mailbox("you", "Archive").messages[0].raw == b"\xff\r\n"
    with pytest.raises(UsageError, match="no account 'nobody'; it has me, you"):
        lab.deliver("", to="nobody")
    with pytest.raises(UsageError, match="no mailbox 'Nowhere'"):
        lab.deliver("", mailbox="Nowhere")


async def test_a_full_store_is_an_error_of_its_own() -> None:
    lab = Lab(max_bytes=10)
    with pytest.raises(OverQuota, match="10 bytes"):
        lab.deliver(b"x" * 20)
    assert len(lab.mailbox()) == 0


async def test_sent_mail_is_bounded_by_its_bytes() -> None:
    async with Lab(max_bytes=5 * len(NOTE)) as lab, smtp.session(lab.smtp.url) as session:
        for number in range(8):  # to strangers: it takes no room in the store
            await session.send(NOTE, sender=f"{number}@example.com", recipients=["x@elsewhere.example"])
        assert [mail.sender[0] for mail in lab.sent] == ["3", "4", "5", "6", "7"]
        assert (len(lab.sent), lab.sent.total, lab.sent[-1].sender) == (5, 8, "7@example.com")
        lab.sent.clear()
        assert len(lab.sent) == 0


async def test_until_waits_for_what_happens(lab: Lab) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(lab.until(lambda: len(lab.sent) == 2))
        for _ in range(2):
            assert not waiting.done()
            await smtp.send(NOTE, lab.smtp.url, **TO)
    await lab.until(lambda: True)
    with pytest.raises(DeadlineError, match="until"):
        await lab.until(lambda: len(lab.sent) == 3, timeout=20 * MS)


async def test_accounts_may_be_named_and_come_later() -> None:
    async with Lab(accounts={"alice@example.net": "a"}, domain="Example.COM") as lab:
        lab.add_account("bob", "b")
        async with raw(lab.smtp.port) as client:
            await client.ask(b"EHLO me")
            await client.ask(b"MAIL FROM:<>")
            for name, code in (
                (b"alice@example.net", b"250"),
                (b"bob@example.com", b"250"),
                (b"eve@example.com", b"550"),
            ):
                assert (await client.ask(b"RCPT TO:<%s>" % name))[:3] == code
        assert await pop3.fetch(lab.pop3.url, Credentials("alice@example.net", "a")) == []
        with pytest.raises(UsageError, match="already"):
            lab.add_account("bob", "b")


async def test_ports_are_kept_or_given(lab: Lab) -> None:
    port = lab.smtp.port
    with pytest.raises(ConnectError):
        async with Lab(ports={"pop3": port}):
            raise AssertionError("it took the port of another")
    with pytest.raises(UsageError, match="gopher"):
        Lab(ports={"gopher": 70})
    await lab.aclose()
    async with Lab(ports={"smtp": port}) as other:
        assert other.smtp.url == f"smtp://127.0.0.1:{port}"
    await lab.start()  # again, at the same ports
    async with raw(port):
        pass


async def test_before_it_starts_there_is_no_url() -> None:
    lab = Lab()
    for wrong in (lambda: lab.smtp.url, lambda: lab.imap.tls_port):
        with pytest.raises(UsageError, match="not been started"):
            wrong()
    with pytest.raises(UsageError, match="no STARTTLS"):
        _ = lab.echo.starttls_url
    async with lab:
        with pytest.raises(UsageError, match="runs already"):
            await lab.start()


async def test_it_ends_at_once_whatever_its_clients_do(lab: Lab) -> None:
    lab.faults.on("smtp", "NOOP", silence=True)
    lab.faults.on("pop3", "CAPA", delay=60.0)
    lab.faults.on("imap", "CAPABILITY", endless_line=True)
    async with raw(lab.smtp.port) as one, raw(lab.pop3.port) as two, raw(lab.imap.port) as three, raw(lab.smtp.port):
        await one.send(b"NOOP\r\n")
        await two.send(b"CAPA\r\n")
        await three.send(b"a CAPABILITY\r\n")
        await three.read_exactly(1000)
        began = time.monotonic()
        await lab.aclose()
        assert time.monotonic() - began < 1000 * MS
        await lab.aclose()


async def test_a_block_that_fails_leaves_nothing() -> None:
    with pytest.raises(RuntimeError, match="mine"):
        async with Lab() as lab:
            async with raw(lab.smtp.port):
                raise RuntimeError("mine")


async def test_a_service_that_does_not_start_leaves_nothing() -> None:
    class Broken:
        name = "broken"

        async def start(self, lab: Lab) -> None:
            raise OSError("no")

        async def aclose(self) -> None: ...

    before = open_sockets()
    with pytest.raises(OSError, match="no"):
        await Lab(services=[Broken()]).start()
    assert open_sockets() == before


async def test_another_service_starts_last_and_stops_first() -> None:
    said: list[str] = []

    class Beside:
        name = "http"

        async def start(self, lab: Lab) -> None:
            said.append(f"{self.name} after {lab.smtp.url.partition(':')[0]}")

        async def aclose(self) -> None:
            said.append("stopped")

    async with Lab(services=[Beside()]) as lab:
        lab.record("a request")
        assert list(lab.requests) == ["a request"]
    assert said == ["http after smtp", "stopped"]


async def test_cancelled_while_it_starts_it_leaves_nothing() -> None:
    before = open_sockets()
    for turns in range(12):
        lab = Lab()
        task = asyncio.get_running_loop().create_task(lab.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await lab.aclose()
        assert open_sockets() == before


async def test_dialogues_tell_what_was_said_without_secrets(lab: Lab) -> None:
    await smtp.send(NOTE, lab.smtp.url, lab.credentials_of("you", mechanism="PLAIN"), **TO)
    await pop3.fetch(lab.pop3.url, lab.credentials_of("you"))
    await imap.fetch(lab.imap.url, lab.credentials_of("you", mechanism="PLAIN"))
    texts = [str(dialogue) for dialogue in lab.dialogues]
    assert {dialogue.protocol for dialogue in lab.dialogues} == {"smtp", "pop3", "imap"}
    assert {dialogue.username for dialogue in lab.dialogues} == {"you"}
    assert "C: MAIL FROM:<a@example.com>" in texts[0]
    assert not [text for text in texts if "secret of you" in text or "c2VjcmV0IG9mIHlvd" in text]


async def test_start_and_stop_are_quick(lab: Lab) -> None:
    quickest = []
    for _ in range(5):
        began = time.perf_counter()
        other = Lab()
        await other.start()
        started = time.perf_counter()
        await other.aclose()
        quickest.append((started - began, time.perf_counter() - started))
    assert min(start for start, _ in quickest) < 50 * MS
    assert min(stop for _, stop in quickest) < 100 * MS


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
async def test_labs_one_after_another_leak_nothing(count: int) -> None:
    async def batch() -> Counter[str]:
        for _ in range(count):
            async with Lab() as lab:
                tls = lab.tls
                await smtp.send(NOTE, lab.smtp.starttls_url, lab.credentials, **TO, tls=tls)
                await imap.fetch(lab.imap.url, lab.credentials)
                await pop3.fetch(lab.pop3.tls_url, lab.credentials, tls=tls)
        return living()

    await batch()  # what is made once
    before, sockets, tasks = await batch(), open_sockets(), asyncio.all_tasks()
    after = await batch()
    assert open_sockets() == sockets
    assert asyncio.all_tasks() == tasks
    # What every lab left behind would be there once for each.
    assert {name: more for name, more in (after - before).items() if more >= count} == {}


def living() -> Counter[str]:
    """All objects of ours and under ours that the collector knows, by type.

    Not those of the ground: values are cached, and the loop keeps timers, with deadlines, for a time beyond their use.
    """
    gc.collect()
    names = (f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
    ours = tuple(f"asyncnet.{wing}." for wing in ("lab", "streams", "smtp", "imap", "pop3"))
    return Counter(
        name for name in names if name.startswith((*ours, "_asyncio.", "asyncio.base", "asyncio.s", "ssl.", "socket."))
    )


async def test_a_lab_started_again_on_another_loop_waits_there() -> None:
    lab = Lab()

    async def once() -> None:
        async with lab:
            with pytest.raises(DeadlineError):
                await lab.until(lambda: False, 10 * MS)

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, once())


async def test_a_server_that_is_away_stays_away_when_its_lab_ends() -> None:
    lab = Lab()
    async with contextlib.AsyncExitStack() as stack:
        await lab.start()
        await stack.enter_async_context(lab.smtp.down())
        await lab.aclose()
        assert not lab.is_running
    with pytest.raises(ConnectError):
        await smtp.send(NOTE, lab.smtp.url, **TO)
    with pytest.raises(UsageError, match="has not been started"):
        await lab.restart("smtp")


async def test_a_client_that_comes_before_the_other_port_listens_is_served(monkeypatch) -> None:
    greeted: list[bytes] = []

    async def serve_and_come(handler: object, where: str, **options: object) -> Server:
        server = await serve(handler, where, **options)
        if not greeted:  # the first is SMTP's in plaintext
            async with raw(server.endpoint.port, b"") as client:
                greeted.append(await client.read())
        return server

    monkeypatch.setattr("asyncnet.lab.service.serve", serve_and_come)
    async with Lab():
        assert greeted == [b"220 lab.example.org ESMTP asyncnet lab\r\n"]


async def test_an_open_conversation_is_not_forgotten_before_those_that_are_over(lab: Lab) -> None:
    async with raw(lab.echo.port, b"") as client:
        await client.send(b"x")
        await client.read_exactly(1)
        for number in range(201):
            dialogue = Dialogue("echo", number, "somebody")
            dialogue.ended = True
            lab.remember(dialogue)
        assert len(lab.dialogues) == 200
        assert [one.number for one in lab.dialogues if not one.ended] == [1]


@pytest.mark.parametrize("end", [b"\n", b"\r\r\n", b"x" * 9_000 + b"\r\n"])
async def test_a_line_that_is_refused_leaves_no_secret_in_the_dialogue(lab: Lab, end: bytes) -> None:
    async with raw(lab.pop3.port) as client:
        await client.send(b"PASS hunter2" + end)
        assert (await client.read()).startswith(b"-ERR")
    assert "hunter2" not in str(lab.dialogues[-1])
