"""Chaos is reproducible: the same seed gives the same faults to the same conversations, whatever runs beside them."""

import asyncio

import pytest

from asyncnet import NetError, UsageError, pop3, smtp
from asyncnet.lab import Chaos, Fault, Lab
from asyncnet.lab.chaos import KINDS, USUAL
from asyncnet.lab.faults import CONNECT, PUSH, TLS
from tests.lab.raw import raw

MAIL = b"Subject: x\r\n\r\nx\r\n"


def draws(chaos: Chaos, protocol: str = "smtp", verb: str = "NOOP") -> list[Fault | None]:
    return [chaos.draw(protocol, verb, (session, step)) for session in range(20) for step in range(20)]


def test_the_same_seed_gives_the_same_faults() -> None:
    assert draws(Chaos(7, 0.2)) == draws(Chaos(7, 0.2))
    assert draws(Chaos(7, 0.2)) != draws(Chaos(8, 0.2))
    assert draws(Chaos(7, 0.2), "smtp") != draws(Chaos(7, 0.2), "pop3")


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 1.0])
def test_the_rate_is_kept(rate: float) -> None:
    happened = sum(fault is not None for fault in draws(Chaos(7, rate)))
    assert abs(happened - 400 * rate) <= 40 * (0 < rate < 1)


def test_only_what_was_asked_for_happens_and_all_of_it() -> None:
    for kind in KINDS:
        names = {repr(fault).split("=")[0] for fault in draws(Chaos(1, 1.0, kinds=(kind,)))}
        assert len(names) == 1
    assert len({repr(fault).split("=")[0] for fault in draws(Chaos(1, 1.0))}) == len(USUAL)
    quiet = Chaos(1, 1.0, protocols=frozenset({"imap"}))
    assert set(draws(quiet)) == {None}
    assert quiet.draw("imap", PUSH, (1, 1)) is quiet.draw("imap", TLS, (1, 1)) is None
    assert quiet.draw("imap", CONNECT, (1, 1)) is not None


@pytest.mark.parametrize(
    "given", [{"rate": 1.1}, {"rate": -0.1}, {"protocols": ["ftp"]}, {"kinds": ["rain"]}, {"kinds": []}]
)
def test_what_makes_no_sense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Lab().chaos(seed=1, **given)


async def _talks(seed: int, crowd: int) -> list[str]:
    """What 30 sessions of our client come to, `crowd` others between them."""
    async with Lab() as lab:
        lab.deliver("Subject: x\n\nx")
        lab.chaos(seed, 0.2, protocols=["pop3"], kinds=["cut", "reset", "bye", "lose_answer", "refuse"])
        ended = []

        async def beside() -> None:
            async with raw(lab.smtp.port) as client:
                await client.ask(b"NOOP")

        for _ in range(30):
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(crowd):
                        group.create_task(beside())
                    fetching = group.create_task(pop3.fetch(lab.pop3.url, lab.credentials, timeout=5.0))
                ended.append(f"{len(fetching.result())} messages")
            except* NetError as errors:
                ended.append(type(errors.exceptions[0]).__name__)
        faults = [
            str(line) for talk in lab.dialogues if talk.protocol == "pop3" for line in talk.lines if line.who == "!"
        ]
        return ended + faults


async def test_a_run_is_reproduced() -> None:
    first = await _talks(7, 0)
    assert first == await _talks(7, 3)
    assert first != await _talks(8, 0)
    assert "1 messages" in first[:30]
    assert {"ProtocolError", "DisconnectedError"} & set(first[:30])


async def test_clear_ends_it(lab: Lab) -> None:
    chaos = lab.chaos(seed=1, rate=1.0, kinds=["refuse"])
    assert lab.faults.chaos is chaos
    async with raw(lab.smtp.port, greeting=b"") as client:
        await client.read_to_end()
        assert client.was_reset
    lab.faults.clear()
    async with raw(lab.smtp.port) as client:
        assert (await client.ask(b"NOOP"))[:3] == b"250"


async def test_in_chaos_our_client_never_says_more_than_is_true(lab: Lab) -> None:
    lab.chaos(seed=7, rate=0.15, protocols=["smtp"])
    told: dict[str, str] = {}

    async def send(number: int) -> None:
        name = f"{number}@example.com"
        try:
            await smtp.send(MAIL, lab.smtp.url, sender=name, recipients=["me@example.org"], timeout=5.0)
            told[name] = "arrived"
        except NetError as error:
            told[name] = "unknown" if error.outcome_unknown else "not sent"

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(send(number))
    came = [mail.sender for mail in lab.sent]
    assert len(came) == len(set(came)) == len(lab.mailbox("me"))
    assert len(told) == 100
    for name, outcome in told.items():
        assert outcome == "unknown" or (outcome == "arrived") is (name in came)
    assert set(told.values()) == {"arrived", "unknown", "not sent"}


@pytest.mark.parametrize("pushes", [0, 3])
async def test_what_is_pushed_does_not_change_the_lot_of_the_commands_behind_it(lab: Lab, pushes: int) -> None:
    wanted = next(seed for seed in range(1000) if _refused(seed) == [False] * 4 + [True, False, True])
    lab.chaos(wanted, 0.5, kinds=["refuse"])
    async with raw(lab.imap.port) as client:
        for tag, command in (("a", "LOGIN me secret"), ("b", "SELECT INBOX")):
            await client.send(f"{tag} {command}\r\n".encode())
            assert b" OK " in await client.read(f"\r\n{tag} OK".encode() if tag == "b" else b"\r\n")
        await client.read()
        await client.send(b"c IDLE\r\n")
        await client.read(b"+ ")
        await client.read()
        for _ in range(pushes):
            lab.deliver(MAIL)
            await client.read(b" EXISTS\r\n")
        await client.send(b"DONE\r\nd NOOP\r\ne NOOP\r\nf NOOP\r\n")
        for end in (b"d NO ", b"e OK ", b"f NO "):
            await client.read(end)


def _refused(seed: int) -> list[bool]:
    """Of CONNECT, LOGIN, SELECT, IDLE and three more."""
    chaos = Chaos(seed, 0.5, kinds=("refuse",))
    return [chaos.draw("imap", "NOOP", (1, step)) is not None for step in range(1, 8)]
