"""A watch on a real server that is cut, reset, silenced and restarted while mail arrives: each message is told once."""

import asyncio
import pwd
import random
import subprocess
from collections.abc import Callable

import pytest

from asyncnet import Credentials, Retry, imap
from tests.peers import MS, Authority
from tests.peers.proxies import Direction, Link, Proxy
from tests.real.dovecot import Account, Dovecot
from tests.real.running import running

QUICK = Retry(attempts=1000, first_delay=20 * MS, max_delay=100 * MS)


class Trouble(Proxy):
    """A proxy whose connections can be ended in each way at any time; `silence` swallows all that passes from then."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(target)
        self._links: dict[int, Link] = {}
        self._silent: set[int] = set()

    def pump(self, link: Link, direction: Direction) -> None:
        self._links[link.number] = link
        super().pump(link, direction)

    def forward(self, data: bytes, link: Link, direction: Direction) -> None:
        if link.number not in self._silent:
            super().forward(data, link, direction)

    def cut(self) -> None:
        for link in list(self._links.values()):
            link.break_off()

    def reset(self) -> None:
        for link in list(self._links.values()):
            link.break_off(reset=True)

    def silence(self) -> None:
        self._silent |= set(self._links)


class Restartable(Dovecot):
    """A server of the test's own, which can be stopped and started again where it was."""

    def restart(self) -> None:
        assert self._process
        self.end(self._process)
        with open(self.folder / "output.log", "ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
        self.wait_until_ready()


async def survive(
    dovecot: Dovecot, account: Account, count: int, troubles: list[Callable[[], object]], proxy: Trouble
) -> None:
    """Let mail arrive and trouble come, and the watch be started anew in between: each message is told once."""
    chance = random.Random(4)
    who = Credentials(account.name, account.password)
    async with imap.session(dovecot.imap, who) as session:
        state = f"{(await session.status('INBOX')).uidvalidity}:1"
    told: list[bytes] = []
    pace = len(troubles) * 100 * MS / count

    async def listen() -> None:
        nonlocal state
        while len(told) < count:
            watch = imap.watch(
                f"imap://{proxy.address}/INBOX",
                who,
                since=state,
                renew_seconds=150 * MS,
                timeout=1500 * MS,
                retry=QUICK,
                headers_only=False,
            )
            most = len(told) + chance.randint(1, count)
            async with watch:
                async for arrival in watch:
                    told.append(arrival.message.raw)
                    state = str(arrival.state)
                    if len(told) in (count, most):
                        break

    async def post() -> None:
        for number in range(count):
            dovecot.deliver(account, b"Subject: %d\r\n\r\nbody\r\n" % number)
            await asyncio.sleep(chance.random() * 2 * pace)

    async def disturb() -> None:
        for trouble in troubles:
            await asyncio.sleep(chance.random() * 150 * MS)
            await asyncio.get_running_loop().run_in_executor(None, trouble)

    async with asyncio.timeout(60 + count), asyncio.TaskGroup() as group:
        for task in (listen(), post(), disturb()):
            group.create_task(task)
    assert sorted(told) == sorted(b"Subject: %d\r\n\r\nbody\r\n" % number for number in range(count))


async def test_each_message_is_told_once_over_cuts_resets_and_silence(dovecot: Dovecot, account: Account) -> None:
    async with Trouble((dovecot.host, dovecot.ports["imap"])) as proxy:
        await survive(dovecot, account, 60, [proxy.cut, proxy.reset, proxy.silence, proxy.cut], proxy)


@pytest.mark.slow
async def test_each_of_1000_messages_is_told_once_over_100_troubles(authority: Authority) -> None:
    for dovecot in running(Restartable(authority)):
        async with Trouble((dovecot.host, dovecot.ports["imap"])) as proxy:
            troubles = [proxy.cut, proxy.reset, proxy.silence, proxy.cut, dovecot.restart] * 20
            await survive(dovecot, dovecot.new_account(), 1000, troubles, proxy)
