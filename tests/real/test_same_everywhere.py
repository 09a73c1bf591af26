"""Our clients behave the same wherever they go: one suite, and the servers of places.py under it."""

import asyncio
import functools
import imaplib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asyncnet import (
    AuthenticationError,
    ConnectError,
    Credentials,
    DisconnectedError,
    Endpoint,
    RefusedError,
    TLSError,
    http,
    imap,
    pop3,
    smtp,
)
from asyncnet.daemon import in_daemon
from asyncnet.errors import StatusError
from asyncnet.lab import Lab
from tests.clock import MS
from tests.peers import CutProxy
from tests.real.dovecot import Dovecot
from tests.real.nginx import Nginx
from tests.real.places import ARRIVAL, FILE_BYTES, HTTP, IMAP, MAILS, POP3, SMTP, Place, Site
from tests.real.postfix import Postfix
from tests.real.pymap_server import Pymap

CUTS = [0, 10, 100]
"""Bytes from the server until the connection ends: all servers have more to say."""


@pytest.fixture(autouse=True)
def servers_first(dovecot: Dovecot, postfix: Postfix, nginx: Nginx, pymap: Pymap) -> None:
    """They outlive a test, so they are there before it."""


def through(proxy: CutProxy, url: str) -> str:
    """The URL, by way of the proxy."""
    where = Endpoint.parse(url)
    return url.replace(f"{where.host}:{where.port}", f"{proxy.host}:{proxy.port}")


def target(url: str) -> tuple[str, int]:
    where = Endpoint.parse(url)
    return where.host, where.port


# SMTP.


@pytest.fixture(params=SMTP)
async def office(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with SMTP[request.param](request) as place:
        yield place


async def come(place: Place, count: int) -> list[bytes]:
    """What has arrived, once it is so much."""
    async with asyncio.timeout(ARRIVAL):
        while len(found := place.arrived()) < count:  # noqa: ASYNC110 (some of these servers are other processes)
            await asyncio.sleep(5 * MS)
    return found


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
class TestSMTP:
    async def test_mails_arrive_byte_for_byte(self, office: Place) -> None:
        async with smtp.session(office.url, office.who) as session:
            for mail in MAILS:
                receipt = await session.send(mail, sender="a@example.com", recipients=[office.address])
                assert (receipt.accepted, receipt.refused, receipt.unknown) == ((office.address,), {}, ())
        found = await come(office, 3)
        assert all(raw.endswith(mail) for raw, mail in zip(sorted(found, key=subject), MAILS, strict=True))

    async def test_a_refused_recipient_is_told_and_the_others_get_it(self, office: Place) -> None:
        to = [office.unknown, office.address]
        receipt = await smtp.send(MAILS[0], office.url, sender="a@example.com", recipients=to)
        assert receipt.accepted == (office.address,)
        assert list(receipt.refused) == [office.unknown]
        assert len(await come(office, 1)) == 1

    async def test_where_nobody_is_left_it_is_an_error(self, office: Place) -> None:
        with pytest.raises(RefusedError) as caught:
            await smtp.send(MAILS[0], office.url, sender="a@example.com", recipients=[office.unknown])
        assert (caught.value.transient, office.arrived()) == (False, [])

    async def test_a_wrong_password_is_an_error_of_its_own(self, office: Place) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await smtp.send(
                *(MAILS[0], office.url, Credentials(office.who.username, "wrong")),
                sender="a@example.com",
                recipients=[office.address],
            )
        assert (caught.value.code, caught.value.transient) == (535, False)

    async def test_a_session_goes_on_after_a_refusal(self, office: Place) -> None:
        async with smtp.session(office.url) as session:
            with pytest.raises(RefusedError):
                await session.send(MAILS[0], sender="a@example.com", recipients=[office.unknown])
            await session.send(MAILS[1], sender="a@example.com", recipients=[office.address])
        assert len(await come(office, 1)) == 1

    async def test_it_goes_over_starttls(self, office: Place) -> None:
        to = {"sender": "a@example.com", "recipients": [office.address]}
        url = office.secured()
        with pytest.raises(TLSError):
            await smtp.send(MAILS[0], url, office.who, **to)
        await smtp.send(MAILS[0], url, office.who, **to, tls=office.tls)
        assert len(await come(office, 1)) == 1

    @pytest.mark.parametrize("after", CUTS)
    async def test_a_cut_connection_is_told_at_once_and_nothing_arrives(self, office: Place, after: int) -> None:
        with CutProxy(target(office.url), after=after) as proxy, pytest.raises(DisconnectedError) as caught:
            await smtp.send(
                *(MAILS[0], through(proxy, office.url)), sender="a@example.com", recipients=[office.address]
            )
        assert (caught.value.transient, office.arrived()) == (True, [])


def subject(raw: bytes) -> int:
    """Its place in MAILS."""
    return [b"first" in raw, b"second" in raw, True].index(True)


# POP3.


@pytest.fixture(params=POP3)
async def maildrop(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with POP3[request.param](request) as place:
        yield place


class TestPOP3:
    async def test_every_message_comes_byte_for_byte(self, maildrop: Place) -> None:
        messages = await pop3.fetch(maildrop.url, maildrop.who, timeout=ARRIVAL)
        assert [message.raw for message in messages] == MAILS
        assert len({message.uid for message in messages}) == 3
        assert maildrop.arrived() == MAILS

    async def test_what_it_tells_agrees(self, maildrop: Place) -> None:
        async with pop3.session(maildrop.url, maildrop.who, timeout=ARRIVAL) as session:
            stat, listed, unique = await session.stat(), await session.list(), await session.uidl()
            assert (stat.count, [number for number, _ in listed], list(unique)) == (3, [1, 2, 3], [1, 2, 3])
            assert stat.size == sum(size for _, size in listed)
            assert [size for _, size in listed] == [len(mail) for mail in MAILS]
            assert (await session.top(1, 1)).raw == b"From: a@example.com\r\nSubject: first\r\n\r\nline 1\r\n"

    async def test_deletions_are_done_at_the_end_and_not_before(self, maildrop: Place) -> None:
        async with pop3.session(maildrop.url, maildrop.who, timeout=ARRIVAL) as session:
            await session.delete(1)
            await session.delete(3)
            await session.reset()
            await session.delete(2)
            with pytest.raises(RefusedError):
                await session.retrieve(2)
            assert maildrop.arrived() == MAILS
        assert maildrop.arrived() == [MAILS[0], MAILS[2]]

    async def test_a_wrong_password_is_an_error_of_its_own(self, maildrop: Place) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await pop3.fetch(maildrop.url, Credentials(maildrop.who.username, "wrong", mechanism="USER"))
        assert not caught.value.transient

    async def test_a_message_that_is_not_there_is_refused_and_the_session_goes_on(self, maildrop: Place) -> None:
        async with pop3.session(maildrop.url, maildrop.who, timeout=ARRIVAL) as session:
            with pytest.raises(RefusedError):
                await session.retrieve(4)
            assert (await session.retrieve(3)).raw == MAILS[2]

    async def test_it_goes_over_starttls(self, maildrop: Place) -> None:
        url = maildrop.secured()
        with pytest.raises(TLSError):
            await pop3.fetch(url, maildrop.who)
        assert [one.raw for one in await pop3.fetch(url, maildrop.who, tls=maildrop.tls)] == MAILS

    @pytest.mark.parametrize("after", CUTS)
    async def test_a_cut_connection_is_told_at_once(self, maildrop: Place, after: int) -> None:
        with CutProxy(target(maildrop.url), after=after) as proxy, pytest.raises(DisconnectedError) as caught:
            await pop3.fetch(through(proxy, maildrop.url), maildrop.who)
        assert (caught.value.transient, maildrop.arrived()) == (True, MAILS)


# IMAP. Each test has mailboxes of its own: pymap has one user.

_numbers = itertools.count(1)


@pytest.fixture(params=IMAP)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with IMAP[request.param](request) as place:
        yield place


@pytest.fixture
async def box(house: Place) -> str:
    """A mailbox with MAILS in it."""
    name = f"Box{next(_numbers)}"
    async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
        await session.create_mailbox(name)
        for mail in MAILS:
            await session.append(mail, name)
    return name


async def lying(house: Place, box: str) -> list[tuple[bytes, set[str]]]:
    """What is in a mailbox, with its flags, as the standard library's client sees it."""
    secret = await house.who.secret()
    return await in_daemon(functools.partial(_lying, *target(house.url), house.who.username, secret, box))


def _lying(host: str, port: int, username: str, secret: str, box: str) -> list[tuple[bytes, set[str]]]:
    with imaplib.IMAP4(host, port, timeout=ARRIVAL) as client:
        client.login(username, secret)
        client.select(box, readonly=True)
        found = []
        for number in client.search(None, "ALL")[1][0].split():
            raw = client.fetch(number.decode(), "(BODY.PEEK[])")[1][0]
            flags = imaplib.ParseFlags(client.fetch(number.decode(), "(FLAGS)")[1][0])
            found.append((raw[1], {flag.decode() for flag in flags} - {"\\Recent"}))
        return found


class TestIMAP:
    async def test_every_message_comes_byte_for_byte(self, house: Place, box: str) -> None:
        messages = await imap.fetch(f"{house.url}/{box}", house.who, timeout=ARRIVAL)
        assert [message.raw for message in messages] == MAILS
        assert [message.size for message in messages] == [len(mail) for mail in MAILS]
        assert await lying(house, box) == [(mail, set()) for mail in MAILS]  # unseen, still

    async def test_what_it_tells_agrees(self, house: Place, box: str) -> None:
        async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
            status = await session.status(box)
            opened = await session.select(box)
            uids = await session.search()
            assert (status.messages, opened.exists, len(uids)) == (3, 3, 3)
            assert opened.uidvalidity == status.uidvalidity
            assert opened.uidnext == status.uidnext
            overview = await session.overview(structure=True)
            assert [one.size for one in overview] == [len(mail) for mail in MAILS]
            assert [one.envelope and one.envelope.subject for one in overview] == ["first", "second", "third"]
            assert (await session.fetch(uids[0], part="TEXT")).raw == MAILS[0].partition(b"\r\n\r\n")[2]
            assert (await session.fetch(uids[0], offset=6, max_bytes=4)).raw == MAILS[0][6:10]
            header = MAILS[2].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            assert (await session.fetch(uids[2], headers_only=True)).raw == header
            assert [one.raw async for one in session.messages()] == MAILS

    async def test_it_finds_what_fits(self, house: Place, box: str) -> None:
        async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
            await session.select(box)
            first, second, third = await session.search()
            assert await session.search("SUBJECT second") == [second]
            assert await session.search("NOT SUBJECT second") == [first, third]
            assert await session.search("OR SUBJECT first LARGER 500") == [first, third]
            assert await session.search(f"UID {second}:{third} FROM a@example.com") == [second, third]
            assert await session.search('SUBJECT "of no message"') == []

    async def test_flags_are_set_and_cleared(self, house: Place, box: str) -> None:
        async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
            await session.select(box)
            first, second, third = await session.search()
            assert (await session.store(first, add={"\\Seen", "\\Flagged"}))[first] >= {"\\Seen", "\\Flagged"}
            await session.store([first, second], add={"\\Answered"})
            await session.store(first, remove={"\\Flagged"})
            await session.store(third, replace={"\\Draft"})
            await session.fetch(second, mark_seen=True)
            assert await session.search("SEEN") == [first, second]
        flags = [flags for _, flags in await lying(house, box)]
        assert flags == [{"\\Seen", "\\Answered"}, {"\\Seen", "\\Answered"}, {"\\Draft"}]

    async def test_messages_are_copied_moved_and_expunged(self, house: Place, box: str) -> None:
        async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
            there = f"{box}-there"
            await session.create_mailbox(there)
            await session.select(box)
            first, second, third = await session.search()
            copied = await session.copy([first, second], there)
            moved = await session.move(third, there)
            assert ([*copied], [*moved]) == ([first, second], [third])
            await session.store(first, add={"\\Deleted"})
            assert await session.expunge([first, second]) == 1
            assert await session.search() == [second]
            with pytest.raises(RefusedError):
                await session.copy(second, f"{box}-nowhere")
        assert [raw for raw, _ in await lying(house, there)] == MAILS
        assert [raw for raw, _ in await lying(house, box)] == [MAILS[1]]

    async def test_mailboxes_are_made_listed_renamed_and_deleted(self, house: Place, box: str) -> None:
        async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
            assert [one.name for one in await session.list(f"{box}*")] == [box]
            await session.rename_mailbox(box, f"{box}-Entwürfe")
            assert [one.name for one in await session.list(f"{box}*")] == [f"{box}-Entwürfe"]
            with pytest.raises(RefusedError):
                await session.select(box)
            assert (await session.select(f"{box}-Entwürfe")).exists == 3
            await session.close()
            await session.delete_mailbox(f"{box}-Entwürfe")
            assert list(await session.list(f"{box}*")) == []

    async def test_what_is_appended_has_its_flags_and_its_moment(self, house: Place, box: str) -> None:
        received = datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC)
        async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
            uid = await session.append(MAILS[0], box, flags={"\\Flagged"}, received=received)
            await session.select(box)
            assert uid is not None
            [told] = await session.overview([uid])
            assert (told.received, told.flags and "\\Flagged" in told.flags) == (received, True)
            with pytest.raises(RefusedError):
                await session.append(MAILS[0], f"{box}-nowhere")

    async def test_news_come_while_it_idles(self, house: Place, box: str) -> None:
        async with (
            imap.watch(f"{house.url}/{box}", house.who, headers_only=False, timeout=ARRIVAL) as watch,
            imap.session(house.url, house.who, timeout=ARRIVAL) as session,
            asyncio.timeout(ARRIVAL),
        ):
            coming = asyncio.create_task(anext(watch))
            await session.append(MAILS[1], box)
            while not coming.done():  # it may have begun to watch after the first
                await session.append(MAILS[1], box)
                await asyncio.wait([coming], timeout=500 * MS)
            assert (await coming).message.raw == MAILS[1]

    async def test_a_wrong_password_is_an_error_of_its_own(self, house: Place) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await imap.fetch(house.url, Credentials(house.who.username, "wrong"))
        assert not caught.value.transient

    async def test_a_message_that_is_not_there_is_refused_and_the_session_goes_on(self, house: Place, box: str) -> None:
        async with imap.session(house.url, house.who, timeout=ARRIVAL) as session:
            await session.select(box)
            with pytest.raises(RefusedError):
                await session.fetch(4_000_000)
            assert (await session.fetch((await session.search())[2])).raw == MAILS[2]

    async def test_it_goes_over_starttls(self, house: Place, box: str) -> None:
        url = f"{house.secured()}/{box}"
        with pytest.raises(TLSError):
            await imap.fetch(url, house.who)
        assert [one.raw for one in await imap.fetch(url, house.who, tls=house.tls)] == MAILS

    @pytest.mark.parametrize("after", CUTS)
    async def test_a_cut_connection_is_told_at_once(self, house: Place, box: str, after: int) -> None:
        with CutProxy(target(house.url), after=after) as proxy, pytest.raises(DisconnectedError) as caught:
            await imap.fetch(f"{through(proxy, house.url)}/{box}", house.who)
        assert caught.value.transient


# HTTP.


@pytest.fixture(params=HTTP)
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    async with HTTP[request.param](request) as place:
        yield place


class TestHTTP:
    async def test_a_file_comes_whole_in_part_and_by_its_size(self, site: Site) -> None:
        async with http.session(tls=site.tls) as session:
            whole = await session.get(site.file)
            assert (whole.status, len(whole.body), whole.complete) == (200, FILE_BYTES, True)
            assert (await session.get(site.secure_file)).body == whole.body
            first = await session.get(site.file, first_bytes=100)
            assert (first.body, first.complete) == (whole.body[:100], False)
            head = await session.head(site.file)
            assert (head.headers["Content-Length"], head.body) == (str(FILE_BYTES), b"")
            part = await session.get(site.file, headers={"Range": "bytes=10-19"})
            assert (part.status, part.body) == (206, whole.body[10:20])

    async def test_a_cut_download_goes_on_where_it_was_cut(self, site: Site, tmp_path: Path) -> None:
        whole = await http.get(site.file)
        with CutProxy(target(site.file), after=50_000, times=1) as proxy:
            url = through(proxy, site.file)
            with pytest.raises(DisconnectedError):
                await http.download(url, tmp_path / "file")
            got = await http.download(url, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == whole.body
        assert 0 < got.resumed < got.size == FILE_BYTES

    async def test_a_status_is_an_error_for_who_asks(self, site: Site) -> None:
        for url, status, transient in ((site.not_found, 404, False), (site.unavailable, 503, True)):
            answer = await http.get(url)
            with pytest.raises(StatusError) as caught:
                answer.raise_for_status()
            assert (answer.status, caught.value.code, caught.value.transient) == (status, status, transient)
        assert answer.headers["Retry-After"] == "1"

    async def test_a_redirect_is_followed(self, site: Site) -> None:
        answer = await http.get(site.redirect)
        assert (answer.status, [one.status for one in answer.history]) == (200, [302])
        assert answer.url != site.redirect

    async def test_who_is_known_comes_in(self, site: Site) -> None:
        assert (await http.get(site.private)).status == 401
        assert (await http.get(site.private, site.who)).status == 200
        with pytest.raises(AuthenticationError) as caught:
            await http.get(site.private, Credentials(site.who.username, "wrong"))
        assert not caught.value.transient

    async def test_who_is_not_trusted_is_told(self, site: Site) -> None:
        with pytest.raises(TLSError):
            await http.get(site.secure_file)

    @pytest.mark.parametrize("after", [*CUTS, 50_000])
    async def test_a_cut_connection_is_told_at_once(self, site: Site, after: int) -> None:
        with CutProxy(target(site.file), after=after) as proxy, pytest.raises(DisconnectedError) as caught:
            await http.get(through(proxy, site.file))
        assert caught.value.transient


async def test_where_nobody_listens_it_is_the_same_error_for_all() -> None:
    async with Lab() as lab, lab.smtp.down(), lab.pop3.down(), lab.imap.down(), lab.http.down():
        for asking in (
            smtp.send(MAILS[0], lab.smtp.url, sender="a@b.org", recipients=["me@example.org"]),
            pop3.fetch(lab.pop3.url, lab.credentials),
            imap.fetch(lab.imap.url, lab.credentials),
            http.get(lab.http.url),
        ):
            with pytest.raises(ConnectError):
                await asking
