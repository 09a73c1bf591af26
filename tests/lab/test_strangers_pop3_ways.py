"""Each POP3 client that others wrote, by each way into the lab: all mail, much mail, a wrong secret."""

import poplib
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncnet.lab import Lab
from tests.lab.imap.raw import until
from tests.lab.stranger import PATIENCE, Door, big_mail, finished, in_thread, is_over_tls, many_mails
from tests.real.running import foreign

# Each client signs in, and gives all messages.


async def stdlib(door: Door) -> list[bytes]:
    def work() -> list[bytes]:
        if door.way == "tls":
            client: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", door.port, context=door.trust, timeout=PATIENCE)
        else:
            client = poplib.POP3("127.0.0.1", door.port, timeout=PATIENCE)
        try:
            if door.way == "starttls":
                client.stls(door.trust)
            client.user("me")
            client.pass_(door.secret)
            count, _ = client.stat()
            return [b"\r\n".join([*client.retr(number)[1], b""]) for number in range(1, count + 1)]
        finally:
            client.quit()

    return await in_thread(work)


_TWISTED = """
import sys
from pathlib import Path
from twisted.internet import defer, endpoints, reactor, ssl
from twisted.mail.pop3client import POP3Client

way, port, secret, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), Path(sys.argv[4])
trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM((folder / "ca.pem").read_bytes())])
context = ssl.optionsForClientTLS("localhost", trust)
greeted, failures = defer.Deferred(), []

class Client(POP3Client):
    def serverGreeting(self, challenge):
        super().serverGreeting(challenge)
        greeted.callback(None)

async def work():
    place = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    if way == "tls":
        place = endpoints.wrapClientTLS(context, place)
    client = await endpoints.connectProtocol(place, Client())
    await greeted
    if way == "starttls":
        await client.startTLS(context)
    await client.login(b"me", secret)
    for number in range((await client.stat())[0]):
        lines = await client.retrieve(number)
        (folder / "mail" / f"{number:04}").write_bytes(b"".join(line + b"\\r\\n" for line in lines))
    await client.quit()

defer.ensureDeferred(work()).addErrback(failures.append).addBoth(lambda _: reactor.stop())
reactor.run()
sys.exit("".join(why.getErrorMessage() for why in failures) or 0)
"""


async def twisted(door: Door) -> list[bytes]:
    foreign("twisted.mail.pop3client")
    foreign("OpenSSL")
    await finished(
        *(sys.executable, "-W", "ignore", "-c", _TWISTED, door.way, str(door.port), door.secret, str(door.folder))
    )
    return door.kept


async def curl(door: Door) -> list[bytes]:
    url = f"{'pop3s' if door.way == 'tls' else 'pop3'}://127.0.0.1:{door.port}/"
    common = ["curl", "-sS", "--cacert", str(door.ca), *["--ssl-reqd"] * (door.way == "starttls")]
    common += ["-u", f"me:{door.secret}", "--max-time", str(PATIENCE)]
    numbers = [line.split()[0] for line in (await finished(*common, url)).splitlines()]
    await finished(*common, f"{url}[1-{len(numbers)}]", "-o", f"{door.folder}/mail/#1")
    return [(door.folder / "mail" / number).read_bytes() for number in numbers]


async def mpop(door: Door) -> list[bytes]:
    tls = f"tls on\ntls_starttls {'on' if door.way == 'starttls' else 'off'}\ntls_trust_file {door.ca}"
    for made in ("cur", "new", "tmp"):
        (door.folder / "mail" / made).mkdir()
    config = door.folder / "mpoprc"
    config.write_text(
        f"account lab\nhost 127.0.0.1\nport {door.port}\nuser me\npassword {door.secret}\nauth user\nkeep on\n"
        f"received_header off\nuidls_file {door.folder}/uidls\ndelivery maildir {door.folder}/mail\n"
        f"{'tls off' if door.way == 'plain' else tls}\n"
    )
    config.chmod(0o600)
    await finished("mpop", "-C", str(config), "lab")
    return door.kept


CLIENTS: dict[Callable[[Door], Awaitable[list[bytes]]], str] = {
    stdlib: r"error_proto: b'-ERR \[AUTH\]",
    twisted: r"Ended: 1 .*\[AUTH\]",
    curl: r"Ended: 67 ",
    mpop: r"Ended: 77 (?s:.*)\[AUTH\]",
}
"""The clients, and what each says when its secret is wrong."""

each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)


@each_client
@pytest.mark.parametrize("way", ["plain", "starttls", "tls"])
async def test_each_client_takes_everything_by_each_way(lab: Lab, tmp_path: Path, client: Any, way: str) -> None:
    mails = many_mails(3)
    for mail in mails:
        lab.deliver(mail)
    assert sorted(await client(Door.of(lab, lab.pop3, way, tmp_path))) == mails
    assert {one.username for one in lab.dialogues} == {"me"}
    assert all(is_over_tls(one) == (way != "plain") for one in lab.dialogues)


@each_client
@pytest.mark.parametrize("way", ["plain", "tls"])
async def test_each_client_is_told_that_its_secret_is_wrong(lab: Lab, tmp_path: Path, client: Any, way: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own
        await client(Door.of(lab, lab.pop3, way, tmp_path, "wrong"))
    assert re.search(CLIENTS[client], f"{caught.type.__name__}: {caught.value}"), caught.value
    await until(lambda: not lab.pop3.clients)


@each_client
async def test_each_client_takes_a_message_of_5_mebibytes(lab: Lab, tmp_path: Path, client: Any) -> None:
    lab.deliver(big_mail())
    [got] = await client(Door.of(lab, lab.pop3, "tls", tmp_path))
    assert got == big_mail()


@each_client
async def test_each_client_takes_200_messages(lab: Lab, tmp_path: Path, client: Any) -> None:
    mails = many_mails()
    for mail in mails:
        lab.deliver(mail)
    assert sorted(await client(Door.of(lab, lab.pop3, "plain", tmp_path))) == sorted(mails)
