"""What was put into an outbox is on disk, is sent until the server has said what becomes of it, and never again."""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from asyncnet import ClosedError, DisconnectedError, Retry, UsageError, smtp
from asyncnet.smtp.spool import Spool, State
from tests.peers import MS, Script
from tests.smtp import outbox_child
from tests.smtp.office import Office
from tests.smtp.talks import ENVELOPE, NOTE, RECIPIENT, SENDER, url

SOON = Retry(attempts=5, first_delay=5 * MS, max_delay=20 * MS)


def served(office: Office) -> Script:
    return Script(office, repeat=True, check=False)


def files(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/*") if path.is_file())


async def emptied(box: smtp.Outbox) -> None:
    async with asyncio.timeout(10_000 * MS):
        await box.drain()


async def test_what_is_put_is_sent_and_nothing_of_it_stays(tmp_path: Path) -> None:
    office = Office()
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON) as box:
        spooled = [await box.put(f"Message-ID: <{n}@x>\n\n", **ENVELOPE) for n in range(10)]
        await emptied(box)
        assert (box.pending, box.maybe_twice, await box.refused()) == (0, 0, [])
    assert [one.message_id for one in spooled] == [f"<{n}@x>" for n in range(10)]
    assert spooled[0].recipients == spooled[0].pending == (RECIPIENT,)
    assert sorted(one.data for one in office.taken) == sorted(
        f"Message-ID: <{n}@x>\r\n\r\n".encode() for n in range(10)
    )
    assert files(tmp_path) == []


async def test_every_kind_of_message_goes_through_the_disk_unchanged(tmp_path: Path) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"Subject: stream\r\n\r\n"
        for _ in range(50):
            yield b"x" * 9998 + b"\r\n"

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Bcc"] = SENDER, RECIPIENT, "hidden@example.net"
    mail.set_content("Grüße")
    office = Office()
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON, size=1) as box:
        await box.put(mail)
        await box.put(stream(), **ENVELOPE, notify="never", ret="headers", envid="7", orcpt={RECIPIENT: "b@x.org"})
        await emptied(box)
    first, second = office.taken
    assert first.recipients == [RECIPIENT, "hidden@example.net"]
    assert b"hidden" not in first.data
    assert b"R3LDvMOfZQ" in first.data  # base64: any server can take it
    assert second.data == b"Subject: stream\r\n\r\n" + (b"x" * 9998 + b"\r\n") * 50
    assert b"MAIL FROM:<alice@example.org> SIZE=500019 BODY=8BITMIME RET=HDRS ENVID=7" in office.lines
    assert b"RCPT TO:<bob@example.net> NOTIFY=NEVER ORCPT=rfc822;b@x.org" in office.lines


async def test_who_is_refused_for_now_is_tried_again_and_nobody_else(tmp_path: Path) -> None:
    asked: dict[str, int] = {}

    def grey(address: str) -> str:
        asked[address] = asked.get(address, 0) + 1
        return "450 4.2.0 greylisted" if address.startswith("grey") and asked[address] < 3 else "250 ok"

    office = Office(rcpt=grey)
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON) as box:
        await box.put(NOTE, sender=SENDER, recipients=["a@x.org", "grey1@x.org", "grey2@x.org"])
        await emptied(box)
        assert await box.refused() == []
    assert asked == {"a@x.org": 1, "grey1@x.org": 3, "grey2@x.org": 3}
    assert [one.recipients for one in office.taken] == [["a@x.org"], ["grey1@x.org", "grey2@x.org"]]
    assert files(tmp_path) == []


async def test_who_is_refused_for_good_is_kept_with_the_reason(tmp_path: Path) -> None:
    office = Office(rcpt=lambda address: "550 5.1.1 unknown" if address == "no@x.org" else "250 ok")
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON) as box:
        await box.put(b"Message-ID: <1@x>\n\n", sender=SENDER, recipients=["a@x.org", "no@x.org"])
        await emptied(box)
        [kept] = await box.refused()
    assert (kept.message_id, kept.refused, kept.pending) == ("<1@x>", {"no@x.org": (550, "5.1.1 unknown")}, ())
    assert files(tmp_path) == ["refused", "refused"]
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer)) as box:
        assert (box.pending, len(await box.refused())) == (0, 1)


async def test_who_is_refused_for_now_too_often_is_given_up(tmp_path: Path) -> None:
    office = Office(rcpt=lambda address: "450 4.2.0 later")
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON) as box:
        await box.put(NOTE, **ENVELOPE)
        await emptied(box)
        [kept] = await box.refused()
    assert kept.refused == {RECIPIENT: (450, "4.2.0 later")}
    assert office.commands[b"RCPT"] == SOON.attempts


@pytest.mark.parametrize("verdict", ["554 5.7.1 spam", "451 4.3.0 later"])
async def test_a_refusal_of_the_message_is_one_for_all(tmp_path: Path, verdict: str) -> None:
    office = Office(verdict=lambda number: verdict if number == 0 else "250 ok")
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON) as box:
        await box.put(NOTE, sender=SENDER, recipients=["a@x.org", "b@x.org"])
        await emptied(box)
        kept = await box.refused()
    assert len(kept) == (1 if verdict.startswith("5") else 0)
    assert len(office.taken) == (0 if verdict.startswith("5") else 1)
    if kept:
        assert kept[0].refused == dict.fromkeys(["a@x.org", "b@x.org"], (554, "5.7.1 spam"))


async def test_a_lost_answer_is_sent_again_marked_and_counted(tmp_path: Path) -> None:
    office = Office(verdict=lambda number: "cut taken" if number == 0 else "250 ok")
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON) as box:
        await box.put(b"Message-ID: <1@x>\n\n", **ENVELOPE)
        await emptied(box)
        assert box.maybe_twice == 1
    assert len(office.taken) == 2
    [line] = (tmp_path / "twice.log").read_text().splitlines()
    assert json.loads(line)["message_id"] == "<1@x>"


async def test_a_lost_link_before_the_last_byte_is_no_reason_to_count(tmp_path: Path) -> None:
    goodbyes = iter(["421 bye", "421 bye"])
    office = Office(rcpt=lambda address: next(goodbyes, "250 ok"))
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=SOON) as box:
        await box.put(NOTE, **ENVELOPE)
        await emptied(box)
        assert box.maybe_twice == 0
    assert len(office.taken) == 1


async def test_a_server_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    retry = Retry(attempts=1, first_delay=5 * MS, max_delay=20 * MS)
    office = Office(greeting=lambda number: "220 hi" if number > 4 else "421 4.3.2 not yet")
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer), retry=retry, size=1) as box:
        await box.put(NOTE, **ENVELOPE)
        for _ in range(5_000):
            if box.trouble is not None:
                break
            await asyncio.sleep(MS)
        assert isinstance(box.trouble, DisconnectedError)
        await emptied(box)
        assert box.trouble is None
    assert len(office.taken) == 1


async def test_closed_before_it_is_sent_it_is_sent_by_the_next(tmp_path: Path) -> None:
    async with smtp.outbox(tmp_path, "smtp://127.0.0.1:1") as box:
        await box.put(NOTE, **ENVELOPE)
        assert box.pending == 1
    assert files(tmp_path) == ["queue"]
    office = Office()
    async with served(office) as peer, smtp.outbox(tmp_path, url(peer)) as box:
        await emptied(box)
    assert [one.data for one in office.taken] == [NOTE]


async def test_closed_while_an_answer_is_awaited_it_is_counted_by_the_next(tmp_path: Path) -> None:
    office = Office(verdict=lambda number: "silence" if number == 0 else "250 ok")
    async with served(office) as peer:
        async with smtp.outbox(tmp_path, url(peer)) as box:
            await box.put(NOTE, **ENVELOPE)
            await peer.until(NOTE)
            await box._pool.aclose(grace=0.0)
        async with smtp.outbox(tmp_path, url(peer)) as box:
            await emptied(box)
            assert box.maybe_twice == 1


async def test_one_process_at_a_time_has_a_folder(tmp_path: Path) -> None:
    async with smtp.outbox(tmp_path, "smtp://127.0.0.1:1"):
        with pytest.raises(UsageError, match="another outbox has the folder"):
            await smtp.outbox(tmp_path, "smtp://127.0.0.1:1").open()
    async with smtp.outbox(tmp_path, "smtp://127.0.0.1:1"):
        pass


async def test_a_folder_that_cannot_be_is_a_fault_of_the_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        await smtp.outbox(tmp_path / "file", "smtp://127.0.0.1:1").open()


async def test_a_fault_of_the_call_leaves_nothing_on_disk(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise OSError

    async with smtp.outbox(tmp_path, "smtp://127.0.0.1:1") as box:
        for message, envelope in [(NOTE, {"sender": "a\r\n@x"}), (broken(), {}), (b"", {"recipients": []})]:
            with pytest.raises(UsageError):
                await box.put(message, **{**ENVELOPE, **envelope})  # type: ignore[arg-type]
        assert box.pending == 0
    assert files(tmp_path) == []
    with pytest.raises(ClosedError):
        await box.put(NOTE, **ENVELOPE)
    with pytest.raises(ClosedError):
        await box.drain()


def _spooled(spool: Spool, recipients: list[str]) -> str:
    head = {"sender": SENDER, "recipients": recipients, "message_id": None, "utf8": False, "notify": [], "ret": None}
    name, file = spool.create({**head, "envid": None, "orcpt": {}, "require_tls": False})
    file.write(NOTE)
    spool.commit(name, file)
    return name


def test_wherever_the_spool_stops_the_next_start_finds_each_message_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each system call that changes the disk is made the last one, in turn, for the whole life of three messages."""
    calls = {"count": 0, "last": 10**9}

    class Power(BaseException):
        pass

    def counted(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            calls["count"] += 1
            if calls["count"] > calls["last"]:
                raise Power
            return original(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name in ("rename", "fsync", "unlink"):
        counted(name)

    def life(spool: Spool, said: dict[str, list[str]]) -> None:
        spool.open()
        first = _spooled(spool, ["a", "b"])
        said[first] = ["queue"]
        said[first] = ["sending", "queue"]
        spool.mark(first)
        state = State(["b"], {}, 1)
        spool.save(first, state)
        spool.unmark(first)
        said[first] = ["queue", "refused"]
        spool.refuse(first, State([], {"b": (550, "no")}, 2))
        second = _spooled(spool, ["c"])
        said[second] = ["queue", "sending"]
        spool.mark(second)
        said[second] = ["queue", "gone"]
        spool.done(second)

    for last in range(60):
        folder, said = tmp_path / str(last), {}
        spool = Spool(folder)
        calls.update(count=0, last=last)
        try:
            life(spool, said)
            finished = True
        except Power:
            finished = False
        calls["last"] = 10**9
        spool.close()
        again = Spool(folder)
        queued = again.open()
        for name, places in said.items():
            found = [path.parent.name for path in folder.glob(f"*/{name}.mail")]
            assert len(found) <= 1
            assert found or "gone" in places, (last, name)
        assert not list((folder / "sending").iterdir())
        assert len(queued) == len(set(queued))
        for name in queued:
            again.state(name)
        again.close()
        if finished:
            break
    else:
        raise AssertionError("the life of three messages has more steps than were tried")
    assert last > 15


async def _killed_again_and_again(tmp_path: Path, count: int, kills: int) -> None:
    draw = random.Random(5)
    asked: dict[str, int] = {}

    def grey(address: str) -> str:
        asked[address] = asked.get(address, 0) + 1
        return "450 4.2.0 greylisted" if address.startswith("grey") and asked[address] < 3 else "250 ok"

    office, folder, to = Office(rcpt=grey), tmp_path / "box", "u{0}@x.org,grey{0}@x.org"
    async with served(office) as peer:
        hits = 0
        for _ in range(kills):
            hits += await outbox_child.killed(folder, url(peer), count, to, draw)
        with outbox_child.start(folder, url(peer), count, to) as child:
            assert await asyncio.to_thread(child.wait, 120) == 0
    got = Counter(recipient for one in office.taken for recipient in one.recipients)
    assert set(got) == {f"{kind}{number}@x.org" for kind in ("u", "grey") for number in range(count)}
    twice = {int(recipient.strip("ugrey").partition("@")[0]) for recipient, times in got.items() if times > 1}
    assert twice <= outbox_child.maybe_twice(folder)
    assert hits >= kills // 2  # or the messages were too few for the test to show anything
    assert files(folder) == []


async def test_killed_at_a_random_moment_nothing_is_lost(tmp_path: Path) -> None:
    await _killed_again_and_again(tmp_path, 60, 2)


@pytest.mark.slow
async def test_killed_50_times_nothing_is_lost(tmp_path: Path) -> None:
    await _killed_again_and_again(tmp_path, 1000, 50)
