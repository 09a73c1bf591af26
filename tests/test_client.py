"""Client: one policy, warm sessions that come back tidied or not at all, limits that hold, and a bounded end."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

import asyncnet
from asyncnet import Credentials
from asyncnet.client import Client
from asyncnet.errors import (
    ClosedError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    LimitError,
    NetError,
    RefusedError,
    UsageError,
)
from asyncnet.trace import TraceEvent
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.http.site import Site
from tests.mailroom import MESSAGE, Mailroom
from tests.peers import Authority, Script
from tests.smtp.office import Office

ALICE = Credentials("alice", "correct horse")
BOB = Credentials("bob", "battery staple")
NOTE = b"Subject: hello\r\n\r\nGood morning.\r\n"
ENVELOPE = {"sender": "alice@example.org", "recipients": "bob@example.net"}

POP3 = """
    S: +OK ready
    C: CAPA
    S: +OK
    S: USER
    S: .
    C: USER alice
    S: +OK
    C: PASS correct horse
    S: +OK
    C: STAT
    S: +OK 0 0
    C: QUIT
    S: +OK
"""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as one:
        yield one


def served(peer: Any) -> Script:
    return Script(peer, repeat=True, check=False)


def url(peer: Script, scheme: str = "imap", path: str = "") -> str:
    return f"{scheme}://{peer.address}{path}"


# HTTP.


async def test_http_is_asked_over_kept_connections(site: Site) -> None:
    async with Client() as client:
        for number in range(3):
            response = await client.get(f"{site.url}/hello?{number}")
            assert response.text() == f"GET /hello?{number}"
        assert (await client.post(f"{site.url}/echo", body=b"abc")).body == b"abc"
        assert (await client.head(f"{site.url}/hello")).status == 200
        async with client.stream("GET", f"{site.url}/big") as response:
            assert sum([len(piece) async for piece in response]) > 1 << 20
    assert len(site.connections) == 1


async def test_fetch_gives_the_answer_whatever_its_status(site: Site) -> None:
    async with Client() as client:
        assert (await client.fetch(f"{site.url}/status/404")).status == 404
        with pytest.raises(LimitError):
            await client.fetch(f"{site.url}/big", max_bytes=1000)


@pytest.mark.parametrize("policy", [{}, {"trace": lambda event: None}, {"credentials": {"localhost": ALICE}}])
async def test_fields_may_come_from_iterators(site: Site, policy: dict[str, Any], tmp_path: Any) -> None:
    def fields() -> dict[str, Any]:
        return {"params": iter([("a", "1")]), "headers": iter([("X-Note", "2")])}

    async with Client(**policy) as client:
        answers = [(await client.get(f"{site.url}/hello", **fields())).body]
        async with client.stream("GET", f"{site.url}/hello", **fields()) as answer:
            answers.append(await answer.read())
        await client.download(f"{site.url}/hello", tmp_path / "file", **fields())
    assert answers == [b"GET /hello?a=1"] * 2
    assert [head["X-Note"] for head in site.heads] == ["2", "2", "2"]
    assert (tmp_path / "file").read_text() == "GET /hello?a=1"


async def test_a_session_for_a_base_uses_the_same_connections_and_cannot_close_them(site: Site) -> None:
    async with Client() as client:
        await client.get(f"{site.url}/hello")
        async with client.session(f"{site.url}/") as session:
            assert (await session.get("hello")).text() == "GET /hello"
        with pytest.raises(ClosedError):
            await session.get("hello")
        assert (await client.get(f"{site.url}/hello")).status == 200
    assert len(site.connections) == 1


async def test_a_download_is_one_too(site: Site, tmp_path: Any) -> None:
    async with Client() as client:
        await client.download(f"{site.url}/hello", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "GET /hello"


# Warm IMAP.


async def test_imap_is_fetched_over_one_session_that_is_left_tidy_each_time() -> None:
    room = Mailroom(messages=2)
    async with served(room) as peer, Client() as client:
        for _ in range(3):
            messages = await client.fetch(url(peer, path="/INBOX"), ALICE)
            assert [message.raw for message in messages] == [MESSAGE] * 2
    assert room.connections == 1
    assert room.commands[0].count("LOGIN") == 1
    assert room.commands[0].count("UNSELECT") == 3
    assert room.commands[0][-1] == "LOGOUT"
    assert "NOOP" not in room.commands[0]


async def test_a_lent_mailbox_comes_back_unselected_and_nothing_in_it_expunged() -> None:
    room = Mailroom("IMAP4rev1")  # no UNSELECT: EXAMINE and CLOSE do the same
    async with served(room) as peer, Client() as client:
        async with client.session(url(peer), ALICE) as mailbox:
            await mailbox.select("INBOX")
        async with client.session(url(peer), ALICE) as again:
            assert again is mailbox
            assert again.selected is None
    assert room.commands == [["LOGIN", "SELECT", "EXAMINE", "CLOSE", "LOGOUT"]]


async def test_a_session_with_an_extension_on_is_not_lent_again() -> None:
    room = Mailroom("IMAP4rev1 ENABLE UTF8=ACCEPT")
    async with served(room) as peer, Client() as client:
        async with client.session(url(peer), ALICE) as mailbox:
            await mailbox.enable("UTF8=ACCEPT")
        async with client.session(url(peer), ALICE):
            pass
    assert room.commands == [["LOGIN", "ENABLE", "LOGOUT"], ["LOGIN", "LOGOUT"]]


async def test_each_user_and_each_place_has_sessions_of_its_own() -> None:
    room, other = Mailroom(), Mailroom()
    async with served(room) as peer, served(other) as second, Client() as client:
        await client.fetch(url(peer), ALICE)
        await client.fetch(url(peer), BOB)
        await client.fetch(url(second), ALICE)
        await client.fetch(url(peer), ALICE)
    assert (room.connections, other.connections) == (2, 1)
    assert room.logins == [b'"alice" "correct horse"', b'"bob" "battery staple"']


async def test_many_at_once_open_no_more_than_the_limit_and_each_is_reused() -> None:
    room = Mailroom()
    async with served(room) as peer, Client(per_host=3) as client:
        await asyncio.gather(*(client.fetch(url(peer), ALICE) for _ in range(20)))
    assert room.most_open <= 3
    assert room.connections <= 3


async def test_a_warm_session_is_asked_after_some_seconds_and_replaced_if_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncnet.lending._CHECK_AFTER", -1.0)
    room = Mailroom(on=lambda number, command: "cut" if (number, command) == (0, "NOOP") else None)
    async with served(room) as peer, Client() as client:
        for _ in range(3):
            await client.fetch(url(peer), ALICE)
    assert room.commands[0][-1] == "NOOP"
    assert room.commands[1].count("NOOP") == 1
    assert room.connections == 2


async def test_a_warm_session_that_was_closed_meanwhile_is_replaced_unasked() -> None:
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on(number: int, command: str) -> str | None:
        if (number, command) == (0, "EXAMINE") and room.commands[0].count("EXAMINE") == 2:
            loop.call_soon_threadsafe(gone.set)
            return "cut"
        return None

    room = Mailroom(on=on)
    async with served(room) as peer, Client() as client:
        await client.fetch(url(peer), ALICE)
        await client.fetch(url(peer), ALICE)  # cut in the middle, before anything was done
        await gone.wait()
    assert room.connections == 2


async def test_a_new_session_that_is_lost_is_an_error_at_once() -> None:
    room = Mailroom(on=lambda number, command: "cut" if command == "EXAMINE" else None)
    async with served(room) as peer, Client() as client:
        with pytest.raises(DisconnectedError):
            await client.fetch(url(peer), ALICE)
    assert room.connections == 1


async def test_a_refusal_leaves_the_session_warm_and_an_error_of_the_block_drops_it() -> None:
    room = Mailroom(on=lambda number, command: "NO none" if command == "EXAMINE" else None)
    async with served(room) as peer, Client() as client:
        for _ in range(2):
            with pytest.raises(RefusedError):
                await client.fetch(url(peer), ALICE)
        assert room.connections == 1
        with pytest.raises(KeyError):
            async with client.session(url(peer), ALICE):
                raise KeyError
        async with client.session(url(peer), ALICE):
            pass
    assert room.connections == 2
    assert "LOGOUT" not in room.commands[0]


async def test_a_deadline_drops_the_session() -> None:
    hold = asyncio.Event()

    async with Script(SILENT_EXAMINE, Mailroom(), check=False) as peer, Client() as client:
        with pytest.raises(DeadlineError) as caught:
            await client.fetch(url(peer), ALICE, timeout=100 * MS)
        assert caught.value.operation == "fetch"
        assert await client.fetch(url(peer), ALICE) == []
    assert not hold.is_set()


SILENT_EXAMINE = """
    S: * OK [CAPABILITY IMAP4rev1] ready
    C: {tag} LOGIN *
    S: {tag} OK [CAPABILITY IMAP4rev1] done
    C: {tag} EXAMINE *
    silence
"""


async def test_idle_sessions_are_said_goodbye_to_after_a_while() -> None:
    room = Mailroom()
    async with served(room) as peer, Client(keep_alive=30 * MS) as client:
        await client.fetch(url(peer), ALICE)
        await peer.until(b"LOGOUT")
        await client.fetch(url(peer), ALICE)
    assert room.connections == 2


# SMTP.


async def test_smtp_sends_over_one_session() -> None:
    office = Office()
    async with served(office) as peer, Client() as client:
        for _ in range(3):
            receipt = await client.send(NOTE, url(peer, "smtp"), **ENVELOPE)
            assert receipt.accepted == ("bob@example.net",)
    assert (office.connections, len(office.taken), office.commands[b"QUIT"]) == (1, 3, 1)


async def test_a_lent_smtp_session_comes_back_reset() -> None:
    office = Office()
    async with served(office) as peer, Client() as client:
        for _ in range(2):
            async with client.session(url(peer, "smtp")) as outgoing:
                await outgoing.send(NOTE, **ENVELOPE)
    assert (office.connections, office.commands[b"RSET"]) == (1, 2)


async def test_many_sends_at_once_go_over_as_many_sessions_as_a_host_may_have_and_each_once() -> None:
    office = Office()
    async with served(office) as peer, Client(per_host=4) as client:
        notes = [f"Subject: {number}\r\n\r\n".encode() for number in range(80)]
        receipts = await asyncio.gather(*(client.send(note, url(peer, "smtp"), **ENVELOPE) for note in notes))
        assert all(receipt.accepted for receipt in receipts)
        assert client._lender.count <= 4
    assert sorted(one.data for one in office.taken) == sorted(notes)
    assert office.connections <= 4
    assert (office.commands[b"RSET"], office.commands[b"NOOP"]) == (0, 0)


async def test_a_cancelled_send_leaves_the_next_mail_right() -> None:
    office = Office()
    async with served(office) as peer, Client(per_host=2) as client:
        for number in range(50):
            doomed = asyncio.create_task(client.send(b"Subject: cancelled\r\n\r\n", url(peer, "smtp"), **ENVELOPE))
            for _ in range(number % 23):
                await asyncio.sleep(0)
            doomed.cancel()
            await asyncio.wait({doomed})
            await client.send(f"Subject: {number}\r\n\r\n".encode(), url(peer, "smtp"), **ENVELOPE)
    rights = [one.data for one in office.taken if b"cancelled" not in one.data]
    assert rights == [f"Subject: {number}\r\n\r\n".encode() for number in range(50)]


async def test_a_message_is_sent_again_only_if_a_warm_session_was_gone_before_its_end() -> None:
    office = Office(verdict=lambda number: "cut" if number == 1 else "250 2.0.0 Ok")
    async with served(office) as peer, Client() as client:
        await client.send(NOTE, url(peer, "smtp"), **ENVELOPE)
        with pytest.raises(DisconnectedError) as caught:
            await client.send(NOTE, url(peer, "smtp"), **ENVELOPE)
        assert caught.value.outcome_unknown
        assert not caught.value.transient
        await client.send(NOTE, url(peer, "smtp"), **ENVELOPE)
    assert len(office.taken) == 2
    assert office.whole == 3


async def test_a_warm_session_that_says_goodbye_is_replaced() -> None:
    office = Office(rcpt=lambda address: "421 tired" if office.connections == 1 and office.taken else "250 ok")
    async with served(office) as peer, Client() as client:
        for _ in range(2):
            await client.send(NOTE, url(peer, "smtp"), **ENVELOPE)
    assert (office.connections, len(office.taken)) == (2, 2)


async def test_a_deadline_of_a_send_says_that_the_outcome_is_unknown() -> None:
    office = Office(verdict=lambda number: "silence")
    async with served(office) as peer, Client() as client:
        with pytest.raises(DeadlineError) as caught:
            await client.send(NOTE, url(peer, "smtp"), **ENVELOPE, timeout=200 * MS)
    assert caught.value.outcome_unknown


# POP3.


async def test_pop3_opens_one_session_for_each_use_and_has_left_when_the_call_is_over() -> None:
    async with Script(POP3, POP3) as peer, Client() as client:
        for number in (1, 2):
            assert await client.fetch(url(peer, "pop3"), ALICE) == []
            assert peer.received.count(b"QUIT") == number


async def test_pop3_sessions_are_bounded_and_a_stuck_one_starves_nobody_elsewhere() -> None:
    stuck = "S: +OK ready\nC: CAPA\nsilence"
    async with Script(stuck, repeat=True, check=False) as bad, Script(POP3) as good:
        async with Client(per_host=1) as client:
            first = asyncio.create_task(client.fetch(url(bad, "pop3"), ALICE))
            await bad.until(b"CAPA")
            with pytest.raises(DeadlineError, match="waiting for a place"):
                await client.fetch(url(bad, "pop3"), ALICE, timeout=50 * MS)
            assert await client.fetch(url(good, "pop3"), ALICE) == []
            first.cancel()
            await asyncio.wait({first})
        assert bad.connections == 1


async def test_deletions_are_done_when_the_block_ends_well_and_not_after_an_error() -> None:
    opened = POP3.replace("C: STAT\n    S: +OK 0 0\n", "C: DELE 1\n    S: +OK\n")
    left = opened.replace("C: QUIT\n    S: +OK\n", "")
    async with Script(opened, left) as peer, Client() as client:
        async with client.session(url(peer, "pop3"), ALICE) as maildrop:
            await maildrop.delete(1)
        with pytest.raises(KeyError):
            async with client.session(url(peer, "pop3"), ALICE) as maildrop:
                await maildrop.delete(1)
                raise KeyError
    assert peer.received.count(b"QUIT") == 1


# Plain connections.


async def test_bytes_are_fetched_and_plain_connections_opened() -> None:
    async with Script("S: hello", "C: hi\nS: there") as peer, Client() as client:
        assert await client.fetch(url(peer, "tcp")) == b"hello\r\n"
        async with client.connect(url(peer, "tcp")) as connection:
            await connection.write(b"hi\r\n")
            assert await connection.read_until(b"\n") == b"there\r\n"
    assert connection.is_closed


async def test_more_bytes_than_asked_for_are_an_error() -> None:
    async with Script("endless line", check=False) as peer, Client() as client:
        with pytest.raises(LimitError):
            await client.fetch(url(peer, "tcp"), max_bytes=1000)


# Limits over all protocols.


async def test_all_protocols_share_one_limit_and_idle_ones_give_way(site: Site) -> None:
    room, office = Mailroom(), Office()
    async with served(room) as peer, served(office) as post, Client(max_sessions=1) as client:
        for _ in range(2):
            await client.get(f"{site.url}/hello")
            await client.fetch(url(peer), ALICE)
            assert all(transport.is_closing() for transport in site.connections)  # type: ignore[attr-defined]
            await client.send(NOTE, url(post, "smtp"), **ENVELOPE)
            assert room.open_now == 0
    assert (room.connections, office.connections, len(site.connections)) == (2, 2, 2)


async def test_who_waits_for_a_place_gets_the_one_that_http_would_have_kept(site: Site) -> None:
    room = Mailroom()
    async with served(room) as peer, Client(max_sessions=1) as client:
        async with client.stream("GET", f"{site.url}/big") as response:
            mail = asyncio.create_task(client.fetch(url(peer), ALICE))
            await asyncio.sleep(5 * MS)
            assert room.connections == 0
            async for _ in response:
                pass
        assert await mail == []


async def test_an_idle_session_of_another_user_gives_way_at_a_host_that_is_full() -> None:
    room = Mailroom()
    async with served(room) as peer, Client(per_host=1) as client:
        for who in (ALICE, BOB, ALICE):
            await client.fetch(url(peer), who)
    assert (room.connections, room.most_open) == (3, 1)


async def test_waiting_for_a_place_is_within_the_deadline_and_cancelled_at_once() -> None:
    room = Mailroom()
    async with served(room) as peer, Client(max_sessions=1) as client:
        async with client.session(url(peer), ALICE):
            with pytest.raises(DeadlineError, match="waiting for a place"):
                await client.fetch(url(peer), ALICE, timeout=20 * MS)
            with pytest.raises(DeadlineError, match="waiting for a place"):
                await client.fetch("tcp://127.0.0.1:1", timeout=20 * MS)
        assert await client.fetch(url(peer), ALICE) == []


# Credentials.


async def test_credentials_go_to_the_place_they_are_for_and_nowhere_else(site: Site) -> None:
    room, other = Mailroom(), Mailroom()
    async with served(room) as peer, served(other) as second, Site() as stranger:
        keys = {url(peer): ALICE, f"{site.url}/echo": BOB}
        async with Client(credentials=keys) as client:
            await client.fetch(url(peer))
            with pytest.raises(UsageError, match="before signing in"):
                await client.fetch(url(second))
            await client.get(f"{site.url}/echo")
            await client.get(f"{site.url}/hello")
            await client.get(f"{stranger.url}/echo")
            await client.get(f"{site.url}/to/302?url={stranger.url}/echo")
    assert (len(room.logins), other.logins) == (1, [])
    assert ["Authorization" in head for head in site.heads] == [True, False, False]
    assert not any("Authorization" in head for head in stranger.heads)


async def test_what_a_call_is_given_goes_before_and_an_authorization_field_too(site: Site) -> None:
    async with Client(credentials={"127.0.0.1": ALICE}) as client:
        await client.get(f"{site.url}/hello", BOB)
        await client.get(f"{site.url}/hello", headers={"authorization": "Mine"})
    assert [head["Authorization"][:10] for head in site.heads] == ["Basic Ym9i", "Mine"]


async def test_a_secret_over_plaintext_is_refused_before_a_byte_is_sent() -> None:
    async with Client(credentials={"mail.example.org": ALICE}) as client:
        for place in ("imap://mail.example.org", "http://mail.example.org/", "pop3://mail.example.org"):
            with pytest.raises(UsageError, match="plaintext"):
                await client.fetch(place)
        with pytest.raises(UsageError, match="plaintext"):
            await client.send(NOTE, "smtp://mail.example.org", **ENVELOPE)


async def test_credentials_without_a_place_are_refused() -> None:
    with pytest.raises(UsageError, match="belong to places"):
        Client(credentials=ALICE)  # type: ignore[arg-type]


async def test_a_warm_session_is_not_lent_to_whoever_names_another_user() -> None:
    room = Mailroom()
    async with served(room) as peer, Client() as client:
        await client.fetch(url(peer), ALICE)
        with pytest.raises(UsageError):
            await client.fetch(f"imap://bob@{peer.address}", ALICE)
    assert room.connections == 1


# Wrong calls.


async def test_wrong_calls_are_refused() -> None:
    async with Client() as client:
        with pytest.raises(UsageError):
            await client.fetch("smtp://127.0.0.1")
        with pytest.raises(UsageError):
            await client.send(NOTE, "imap://127.0.0.1", **ENVELOPE)
        with pytest.raises(UsageError):
            async with client.session("tcp://127.0.0.1:1"):
                pass
        with pytest.raises(UsageError):
            async with client.connect("http://127.0.0.1"):
                pass
    for wrong in ({"per_host": 0}, {"max_sessions": 0}, {"timeout": -1.0}):
        with pytest.raises(UsageError):
            Client(**wrong)  # type: ignore[arg-type]


# The laws of what owns sockets.


async def test_it_is_closed_twice_and_then_refuses_every_call(site: Site) -> None:
    client = Client()
    async with client:
        assert client.is_open
        await client.get(f"{site.url}/hello")
    await client.aclose()
    assert not client.is_open
    assert "closed" in repr(client)
    calls = [
        lambda: client.get(f"{site.url}/hello"),
        lambda: client.fetch("imap://127.0.0.1"),
        lambda: client.fetch("tcp://127.0.0.1:1"),
        lambda: client.send(NOTE, "smtp://127.0.0.1", **ENVELOPE),
        lambda: client.session("imap://127.0.0.1").__aenter__(),
        lambda: client.session(site.url).__aenter__(),
        lambda: client.connect("tcp://127.0.0.1:1").__aenter__(),
        lambda: client.__aenter__(),
    ]
    for call in calls:
        with pytest.raises(ClosedError):
            await call()


async def test_closing_ends_what_is_under_way_everywhere(site: Site) -> None:
    hold = "S: * OK [CAPABILITY IMAP4rev1] ready\nC: {tag} LOGIN *\nS: {tag} OK\nC: *\nsilence"
    opening = Script("silence", check=False)
    async with Script(hold, check=False) as peer, opening, Script("silence", check=False) as plain:
        client = Client(max_sessions=3)
        tasks = [
            asyncio.create_task(client.fetch(url(peer), ALICE)),
            asyncio.create_task(client.fetch(url(opening, "smtp+starttls"))),
            asyncio.create_task(client.fetch(url(plain, "tcp"))),
        ]
        tasks[1].cancel()
        tasks[1] = asyncio.create_task(client.send(NOTE, url(opening, "smtp"), **ENVELOPE))
        for one in (peer, opening, plain):
            await one.until(1)
        waiting = asyncio.create_task(client.fetch(url(peer), BOB))
        await asyncio.sleep(5 * MS)
        await client.aclose()
        results = await asyncio.gather(*tasks, waiting, return_exceptions=True)
    assert all(isinstance(result, (ClosedError, DisconnectedError)) for result in results), results
    assert isinstance(results[-1], ClosedError)


async def test_a_lent_session_is_closed_with_the_client() -> None:
    room = Mailroom()
    async with served(room) as peer:
        client = Client()
        async with client.session(url(peer), ALICE) as mailbox:
            await client.aclose()
            with pytest.raises(ClosedError):
                await mailbox.noop()


async def test_closing_waits_for_no_server() -> None:
    room = Mailroom(on=lambda number, command: silence(command))
    async with served(room) as peer:
        client = Client()
        await client.fetch(url(peer), ALICE)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await client.aclose()
        assert loop.time() - began < 4.0


def silence(command: str) -> str | None:
    return "+ still here" if command == "LOGOUT" else None


async def test_cancelled_anywhere_it_leaves_nothing(site: Site) -> None:
    room, office = Mailroom(messages=1), Office()

    async def work() -> None:
        async with Client(max_sessions=2) as client:
            for _ in range(2):
                await client.fetch(url(peer), ALICE)
            async with client.session(url(peer), ALICE) as mailbox:
                await mailbox.select("INBOX")
            await client.send(NOTE, url(post, "smtp"), **ENVELOPE)
            await client.get(f"{site.url}/hello")
            await client.fetch(url(peer), ALICE)

    async with served(room) as peer, served(office) as post:
        assert await cancelled_at_each_await(work) > 20


async def test_cancelling_one_call_leaves_the_others() -> None:
    room = Mailroom()
    async with served(room) as peer, Client(per_host=2) as client:
        for _ in range(10):
            doomed = asyncio.create_task(client.fetch(url(peer), ALICE))
            well = asyncio.create_task(client.fetch(url(peer), ALICE))
            await asyncio.sleep(MS)
            doomed.cancel()
            assert await well == []
            await asyncio.wait({doomed})
    assert room.most_open <= 3  # one that was dropped may be heard of a moment later


async def test_a_thousand_calls_leave_no_task_and_no_growth() -> None:
    room = Mailroom()
    async with served(room) as peer, Client() as client:
        await client.fetch(url(peer), ALICE)
        tasks = len(asyncio.all_tasks())
        for _ in range(200):
            await client.fetch(url(peer), ALICE)
        gc.collect()
        assert len(asyncio.all_tasks()) == tasks
        assert client._lender.count == 1
        assert not client._places._origins


# The trace.


async def test_the_trace_hears_of_every_call_and_of_nothing_that_is_our_own(site: Site) -> None:
    heard: list[TraceEvent] = []
    room, office = Mailroom(messages=1), Office()
    async with served(room) as peer, served(office) as post:
        async with Client(trace=heard.append, credentials={url(peer): ALICE}) as client:
            await client.get(f"{site.url}/hello")
            await client.fetch(url(peer))
            await client.fetch(url(peer))
            await client.send(NOTE, url(post, "smtp"), **ENVELOPE)
            async with client.session(url(peer)) as mailbox:
                await mailbox.noop()
            with pytest.raises(ConnectError):
                await client.fetch("tcp://127.0.0.1:1")
    calls: dict[int, list[TraceEvent]] = {}
    for event in heard:
        calls.setdefault(event.call, []).append(event)
    new = ["resolve", "connect"]
    asks = ["request", "first_byte"]
    assert [[event.kind for event in events] for events in calls.values()] == [
        [*new, *asks, "done"],
        [*new, "auth", *asks * 4, "done"],
        [*asks * 4, "done"],
        [*new, *asks, "done"],
        ["done"],
        [*asks, "done"],
        ["resolve", "error"],
    ]
    assert [events[-1].operation for events in calls.values()] == [
        "GET", "fetch", "fetch", "send", "open", "NOOP", "fetch",
    ]  # fmt: skip
    assert [events[-1].detail for events in calls.values()][1] == "1 messages"
    assert "horse" not in repr(heard)


async def test_all_of_it_is_on_the_face_of_the_errors() -> None:
    async with Client() as client:
        with pytest.raises(asyncnet.NetError) as caught:
            await client.fetch("imap://127.0.0.1:1", ALICE)
    assert isinstance(caught.value, NetError)
    assert caught.value.operation is not None


async def test_tls_is_the_clients_own(authority: Authority) -> None:
    async with Script("S: hello", tls=authority.server) as peer, Client(tls=authority.client()) as client:
        assert await client.fetch(url(peer, "tls")) == b"hello\r\n"


# a timeout that is set anew


@pytest.mark.parametrize(
    "options",
    [{}, {"trace": lambda event: None}, {"credentials": lambda place: None}],
    ids=["plain", "traced", "with credentials"],
)
async def test_a_timeout_that_is_set_anew_holds_for_the_calls_after_it(options: dict[str, Any]) -> None:
    with served("silence") as peer, served("silence") as mail:
        async with Client(timeout=60.0, **options) as client:
            client.timeout = 20 * MS
            assert client.timeout == 20 * MS
            with pytest.raises(DeadlineError) as caught:
                await client.get(f"http://{peer.address}/")
            assert caught.value.seconds == 20 * MS
            with pytest.raises(DeadlineError):
                await client.fetch(f"tcp://{mail.address}")
            with pytest.raises(DeadlineError):
                async with client.stream("GET", f"http://{peer.address}/"):
                    pass


async def test_a_timeout_that_is_set_longer_is_not_cut_short_by_the_one_before(site: Site) -> None:
    async with Client(timeout=0.0, trace=lambda event: None) as client:
        client.timeout = 30.0
        assert (await client.get(f"{site.url}/")).status < 500


async def test_a_timeout_is_a_number_of_seconds() -> None:
    async with Client() as client:
        for wrong in (-1.0, float("nan")):
            with pytest.raises(UsageError):
                client.timeout = wrong
        assert client.timeout == 30.0
