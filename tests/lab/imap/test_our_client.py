"""Our own client does all that it can against the lab: every public verb of `asyncnet.imap`."""

import asyncio
import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from asyncnet import imap
from asyncnet.errors import DisconnectedError, LimitError, RefusedError, UsageError
from asyncnet.imap import search
from asyncnet.lab.lab import Lab
from tests.clock import MS
from tests.lab.imap.raw import until

PATIENCE = 10_000 * MS

ODD = {
    "parentheses": b"Subject: ((((\r\n\r\nbody\r\n",
    "quotes": b'Subject: "x"y\\z" )\r\nFrom: "a\\"b (c" <a@example.org>\r\n\r\n"\r\n',
    "8-bit": b"Subject: gr\xc3\xbcn\r\nX: \xff\xfe\r\n\r\n\xe4\xf6\xfc \xff\r\n",
    "long lines": b"Subject: long\r\nX-Long: " + b"h" * 20_000 + b"\r\n\r\n" + b"b" * 100_000 + b"\r\n",
    "looks like IMAP": b"Subject: x\r\n\r\n* 1 FETCH (BODY[] {5}\r\n)\r\nA1 OK done\r\n+ go\r\n* BYE\r\n",
    "no body": b"Subject: none\r\n\r\n",
    "no line end": b"Subject: none\r\n\r\nends here",
    "headers only": b"Subject: none\r\n",
    "many headers": b"".join(b"X-%d: y\r\n" % number for number in range(1000)) + b"\r\n.\r\n..\r\n",
}
NAMES = ["Sent Items", "Entwürfe", 'x"y\\z', "a & b", "日本語", "(x) {3}", "\N{PILE OF POO}", "a/b/c"]
ALTERNATIVE = (
    b"From: a@b.c\r\nSubject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"
    b"--b\r\nContent-Type: application/x-y; name=f.bin\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename=f.bin\r\n\r\nAAECAw==\r\n--b--\r\n"
)


@asynccontextmanager
async def opened(lab: Lab, name: str | None = "INBOX") -> AsyncIterator[imap.Session]:
    async with imap.session(lab.imap.url, lab.credentials, timeout=PATIENCE) as session:
        if name is not None:
            await session.select(name)
        yield session


async def test_odd_messages_come_byte_for_byte(lab: Lab) -> None:
    async with opened(lab) as session:
        uids = [await session.append(raw) for raw in ODD.values()]
        assert uids == await session.search()
        one_by_one = [(await session.fetch(uid)).raw for uid in uids if uid is not None]
        streamed = [message.raw async for message in session.messages()]
        at_once = [message.raw for message in await session.fetch_many([uid for uid in uids if uid is not None])]
    assert one_by_one == streamed == at_once == list(ODD.values())


async def test_names_of_mailboxes_are_text(lab: Lab) -> None:
    async with opened(lab, None) as session:
        for name in NAMES:
            await session.create_mailbox(name)
            await session.subscribe(name)
            assert await session.append(ODD["quotes"], name) == 1
            assert (await session.status(name)).messages == 1
            assert (await session.select(name)).exists == 1
        listed = await session.list()
        assert set(NAMES) < {mailbox.name for mailbox in listed}
        assert {r"\Sent"} < next(one.attributes for one in listed if one.name == "Sent")
        for name in NAMES:
            await session.unsubscribe(name)
            await session.rename_mailbox(name, f"renamed {name}")
            await session.delete_mailbox(f"renamed {name}")
        with pytest.raises(RefusedError, match="no such mailbox"):
            await session.select("Nowhere")
        assert session.selected is None


async def test_names_are_utf8_where_that_is_enabled(lab: Lab) -> None:
    async with opened(lab, None) as session:
        assert "UTF8=ACCEPT" in await session.enable("UTF8=ACCEPT")
        await session.create_mailbox("Entwürfe & mehr")
        assert (await session.select("Entwürfe & mehr")).name == "Entwürfe & mehr"
        assert "Entwürfe & mehr" in {mailbox.name for mailbox in await session.list()}
        await session.append("Subject: Grüße\r\n\r\nx\r\n".encode(), "Entwürfe & mehr")
        assert await session.search('SUBJECT "grüße"') == [1]
    assert "Entwürfe & mehr" in lab.account("me")


async def test_small_talk(lab: Lab) -> None:
    async with opened(lab) as session:
        assert (await session.id({"name": "test"}))["name"] == "asyncnet lab"
        assert (await session.namespace()).personal[0].delimiter == "/"
        await session.noop()
        assert {"CONDSTORE", "IDLE", "IMAP4REV2"} < session.capabilities
        status = await session.status("INBOX")
        assert (status.messages, status.unseen, status.size, status.uidnext) == (0, 0, 0, 1)


async def test_a_message_tells_all_about_itself(lab: Lab) -> None:
    moment = datetime(2024, 2, 29, 23, 59, 1, tzinfo=timezone(timedelta(hours=-7, minutes=-30)))
    async with opened(lab) as session:
        uid = await session.append(ALTERNATIVE, flags={r"\Flagged", "$Work"}, received=moment)
        assert uid == 1
        message = await session.fetch(uid)
        assert (message.raw, message.uid, message.size) == (ALTERNATIVE, 1, len(ALTERNATIVE))
        assert message.flags == {r"\Flagged", "$Work", r"\Recent"}
        assert message.received == moment
        assert r"\Seen" in (await session.fetch(uid, mark_seen=True)).flags | (await session.flags(uid))[uid]
        assert (await session.fetch(uid, part="1")).raw == b"text"
        assert (await session.fetch(uid, headers_only=True)).raw.endswith(b"boundary=b\r\n\r\n")
        assert (await session.fetch(uid, offset=6, max_bytes=5)).raw == b"a@b.c"
        (told,) = await session.overview(structure=True)
        assert told.envelope is not None
        assert told.envelope.subject == "parts"
        assert told.structure is not None
        assert [part.content_type for part in told.structure.parts] == ["text/plain", "application/x-y"]
        assert (
            await session.fetch_part(uid, told.structure.parts[1])
            == await session.fetch_part(uid, "2")
            == bytes(range(4))
        )
        assert await session.sizes() == {1: len(ALTERNATIVE)}
        with pytest.raises(RefusedError):
            await session.fetch(99)
        with pytest.raises(RefusedError):
            await session.fetch(uid, part="9")


async def test_searches_are_built(lab: Lab) -> None:
    first = "From: Zoë <zoe@example.org>\nTo: x@y\nCc: c@y\nSubject: Grüße\nDate: Wed, 1 Jul 2026 10:00 +0000\n\nKöln"
    lab.deliver(first, flags=["\\Seen", "$Work"], received=datetime(2026, 1, 1, tzinfo=UTC))
    lab.deliver("From: bob@example.org\nX-Key: v\nSubject: two\n\n" + "x" * 500, flags=["\\Flagged"])
    async with opened(lab) as session:
        for criteria, expected in [
            (search.everything, [1, 2]),
            (search.seen & search.keyword("$Work"), [1]),
            (search.from_("zoë") | search.flagged, [1, 2]),
            (~search.subject("grüße"), [2]),
            (search.to("x@y") & search.cc("c@y") & ~search.bcc("z"), [1]),
            (search.body("köln"), [1]),
            (search.text("bob"), [2]),
            (search.header("X-Key", "v"), [2]),
            (search.on(date(2026, 1, 1)), [1]),
            (search.before(date(2026, 1, 2)) & search.since(date(2025, 1, 1)), [1]),
            (search.sent_on(date(2026, 7, 1)) & ~search.sent_before(date(2026, 7, 1)), [1]),
            (search.sent_since(date(2027, 1, 1)), []),
            (search.larger(400), [2]),
            (search.smaller(400), [1]),
            (search.younger(86_400), [2]),
            (search.older(86_400), [1]),
            (search.changed_since(3), [2]),
            (search.uids([1, 5]), [1]),
            (search.all_of([search.unanswered, search.undraft, search.undeleted, search.unseen]), [2]),
            (search.any_of([search.answered, search.draft, search.deleted, search.new & search.recent]), [2]),
            (search.old & search.unflagged, []),
            ('OR SUBJECT "GRÜSSE" SUBJECT two', [1, 2]),
        ]:
            assert await session.search(criteria) == expected, str(criteria)
        with pytest.raises(RefusedError):
            await session.search("NONSENSE")


async def test_flags_copies_moves_and_expunges(lab: Lab) -> None:
    for number in range(6):
        lab.deliver(f"Subject: {number}\n\nx")
    async with opened(lab) as session:
        assert (await session.store([1, 2], add={r"\Seen", "$x"}))[2] >= {r"\Seen", "$x"}
        assert r"\Seen" not in (await session.store(1, remove={r"\Seen"}))[1]
        assert (await session.store(1, replace={r"\Draft"}))[1] - {r"\Recent"} == {r"\Draft"}
        selected = await session.select(condstore=True)
        assert selected.highestmodseq == lab.mailbox("me").highest_modseq
        lab.mailbox("me").set_flags([2], ["fresh"], "add")
        assert await session.store([2, 3], add={r"\Flagged"}, unchanged_since=selected.highestmodseq) == {
            3: (await session.flags(3))[3]
        }
        assert set(await session.flags(changed_since=selected.highestmodseq)) == {2, 3}
        assert await session.copy([1, 3], "Archive") == {1: 1, 3: 2}
        assert await session.move([2, 4], "Trash") == {2: 1, 4: 2}
        await session.store([1, 3, 5], add={r"\Deleted"})
        assert await session.expunge([1, 2]) == 1
        assert await session.expunge() == 2
        assert await session.search() == [6]
        with pytest.raises(RefusedError, match="no such mailbox"):
            await session.copy(6, "Nowhere")
        await session.store(6, add={r"\Deleted"})
        await session.unselect()
        await session.select()
        await session.close()
        assert (await session.select()).exists == 0


async def test_a_file_is_appended_and_downloaded_in_pieces(lab: Lab, tmp_path: Path) -> None:
    raw = b"Subject: big\r\n\r\n" + random.Random(7).randbytes(1_000_000).hex().encode() + b"\r\n"
    (tmp_path / "letter").write_bytes(raw)
    async with opened(lab) as session:
        uid = await session.append(tmp_path / "letter")
        assert uid == 1
        target = tmp_path / "copy"
        assert await session.download(uid, target, max_bytes=1000) == 1000
        assert await session.download(uid, target, resume=True) == len(raw) - 1000
        assert target.read_bytes() == raw
        assert await session.download(uid, target, resume=True) == 0
        memory = io.BytesIO()
        await session.download(uid, memory, part="TEXT")
        assert memory.getvalue() == raw.partition(b"\r\n\r\n")[2]


async def test_many_messages_stream_while_others_take_some_away(lab: Lab) -> None:
    for number in range(1500):
        lab.deliver(b"Subject: %d\r\n\r\n%b\r\n" % (number, b"x" * (number % 50 * 100)))
    came = []
    async with opened(lab) as session:
        async for message in session.messages():
            came.append(message.uid)
            if len(came) == 10:
                lab.mailbox("me").expunge(range(1490, 1501))
    assert came[:1489] == list(range(1, 1490))


async def test_idle_tells_what_happens(lab: Lab) -> None:
    lab.deliver("Subject: x\n\nx")
    async with opened(lab) as session:

        async def heard(change: object) -> list[object]:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(session.idle(PATIENCE))
                listeners = lab.mailbox("me")._listeners
                await until(lambda: listeners and listeners[0].__self__.on_change is not None)
                change()  # type: ignore[operator]
            return list(waiting.result())

        assert await heard(lambda: lab.deliver("Subject: y\n\ny")) == [imap.Exists(2)]
        (flags,) = await heard(lambda: lab.mailbox("me").set_flags([1], ["\\Seen"]))
        assert isinstance(flags, imap.Fetched)
        assert (flags.number, flags.uid) == (1, 1)
        assert await heard(lambda: lab.mailbox("me").expunge([1])) == [imap.Expunged(1)]
        assert await session.idle(MS) == []


async def test_what_was_missed_is_told_by_resync(lab: Lab) -> None:
    for _ in range(4):
        lab.deliver("Subject: x\n\nx")
    inbox = lab.mailbox("me")
    since = inbox.highest_modseq
    inbox.expunge([2])
    inbox.set_flags([3], ["\\Seen"])
    async with opened(lab, None) as session:
        resync = await session.resync("INBOX", inbox.uid_validity, since)
        assert [list(uids) for uids in resync.vanished] == [[2]]
        assert [(one.uid, r"\Seen" in (one.flags or ())) for one in resync.changed] == [(3, True)]
        assert resync.selected.exists == 3
        inbox.expunge([1])
        await session.noop()
        assert session.selected is not None
        assert session.selected.exists == 2


async def test_fetch_in_one_call(lab: Lab) -> None:
    for number in range(3):
        lab.deliver(f"Subject: {number}\n\nx", flags=["\\Seen"] if number else [])
    where = f"{lab.imap.url}/INBOX"
    assert [one.uid for one in await imap.fetch(where, lab.credentials)] == [1, 2, 3]
    assert [one.uid for one in await imap.fetch(where, lab.credentials, search="UNSEEN", mark_seen=True)] == [1]
    validity = lab.mailbox("me").uid_validity
    assert [one.uid for one in await imap.fetch(f"{where};UIDVALIDITY={validity}/;UID=2", lab.credentials)] == [2]
    with pytest.raises(LimitError):
        await imap.fetch(where, lab.credentials, max_messages=2)
    for scheme in (lab.imap.tls_url, lab.imap.starttls_url):
        assert len(await imap.fetch(scheme, lab.credentials, tls=lab.tls)) == 3
    with pytest.raises(UsageError):
        await imap.fetch(where, lab.credentials, search="(")


async def test_watch_tells_each_message_once_over_cuts_and_restarts(lab: Lab) -> None:
    async with imap.watch(lab.imap.url, lab.credentials, timeout=PATIENCE, headers_only=False) as watch:
        subjects = []
        waiting = asyncio.ensure_future(anext(watch))
        await until(lambda: watch.state is not None)
        async with asyncio.timeout(PATIENCE):
            for number in range(4):
                if number == 2:
                    await lab.restart("imap")
                lab.deliver(f"Subject: {number}\n\nx")
                arrival = await waiting
                subjects.append(arrival.message.raw.partition(b"\r\n")[0])
                waiting = asyncio.ensure_future(anext(watch))
        waiting.cancel()
        await asyncio.wait({waiting})
    assert subjects == [b"Subject: %d" % number for number in range(4)]


@pytest.mark.parametrize("layout", ["maildir", "eml"])
@pytest.mark.parametrize("without", [(), ("QRESYNC",), ("QRESYNC", "CONDSTORE")])
async def test_sync_follows_the_mailbox(lab: Lab, tmp_path: Path, layout: str, without: tuple[str, ...]) -> None:
    for name in without:
        lab.faults.on("imap", name, strip=True)
    for number in range(20):
        lab.deliver(f"Subject: {number}\n\nx")
    folder = tmp_path / "mail"

    async def synced() -> imap.Synced:
        return await imap.sync(lab.imap.url, folder, lab.credentials, layout=layout, timeout=PATIENCE)  # type: ignore[arg-type]

    assert (await synced()).added == 20
    inbox = lab.mailbox("me")
    inbox.expunge([1, 2])
    inbox.set_flags([3], ["\\Seen"])
    lab.deliver("Subject: new\n\nx")
    then = await synced()
    assert (then.messages, then.added, then.removed) == (19, 1, 2)
    assert (await synced()) == imap.Synced(19)
    raws = sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file() and b"Subject" in path.read_bytes())
    assert raws == sorted(message.raw for message in inbox)


async def test_a_restart_ends_a_session_at_once(lab: Lab) -> None:
    async with opened(lab) as session:
        waiting = asyncio.ensure_future(session.idle(PATIENCE))
        await asyncio.sleep(5 * MS)
        await lab.restart("imap")
        with pytest.raises(DisconnectedError):
            await waiting
