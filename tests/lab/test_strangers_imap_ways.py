"""Each IMAP client that others wrote, by each way into the lab: all mail, much mail, a wrong secret."""

import imaplib
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncnet.lab import Lab
from tests.lab.imap.raw import until
from tests.lab.stranger import PATIENCE, Door, Ended, big_mail, finished, in_thread, is_over_tls, many_mails
from tests.real.running import foreign

# Each client signs in, and gives all messages of INBOX.


def _imaplib(door: Door, sign_in: Callable[[imaplib.IMAP4], Any]) -> list[bytes]:
    with (
        imaplib.IMAP4_SSL("127.0.0.1", door.port, ssl_context=door.trust, timeout=PATIENCE)
        if door.way == "tls"
        else imaplib.IMAP4("127.0.0.1", door.port, timeout=PATIENCE)
    ) as client:
        if door.way == "starttls":
            client.starttls(door.trust)
        sign_in(client)
        client.select()
        return [one[1] for one in client.fetch("1:*", "BODY.PEEK[]")[1] if isinstance(one, tuple)]


async def imaplib_login(door: Door) -> list[bytes]:
    return await in_thread(lambda: _imaplib(door, lambda client: client.login("me", door.secret)))


async def imaplib_plain(door: Door) -> list[bytes]:
    answer = b"\0me\0" + door.secret.encode()
    return await in_thread(lambda: _imaplib(door, lambda client: client.authenticate("PLAIN", lambda _: answer)))


async def imaplib_cram_md5(door: Door) -> list[bytes]:
    return await in_thread(lambda: _imaplib(door, lambda client: client.login_cram_md5("me", door.secret)))


async def imap_tools(door: Door) -> list[bytes]:
    tools = foreign("imap_tools")

    def work() -> list[bytes]:
        box = {
            "plain": lambda: tools.MailBoxUnencrypted("127.0.0.1", door.port, PATIENCE),
            "starttls": lambda: tools.MailBoxStartTls("127.0.0.1", door.port, PATIENCE, ssl_context=door.trust),
            "tls": lambda: tools.MailBox("127.0.0.1", door.port, PATIENCE, ssl_context=door.trust),
        }[door.way]()
        try:
            with box.login("me", door.secret) as inside:
                return [one.obj.as_bytes() for one in inside.fetch(bulk=50, mark_seen=False)]
        finally:
            if box.client.state != "LOGOUT":
                box.client.shutdown()

    return [raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for raw in await in_thread(work)]


async def imapclient(door: Door) -> list[bytes]:
    library = foreign("imapclient")

    def work() -> list[bytes]:
        kind = {"ssl": True, "ssl_context": door.trust} if door.way == "tls" else {"ssl": False}
        with library.IMAPClient("127.0.0.1", door.port, timeout=PATIENCE, **kind) as client:
            if door.way == "starttls":
                client.starttls(door.trust)
            client.login("me", door.secret)
            client.select_folder("INBOX")
            fetched = client.fetch(client.search(), ["BODY.PEEK[]"])
            return [fetched[uid][b"BODY[]"] for uid in sorted(fetched)]

    return await in_thread(work)


async def aioimaplib(door: Door) -> list[bytes]:
    library = foreign("aioimaplib")
    if door.way == "tls":
        client = library.IMAP4_SSL("127.0.0.1", door.port, timeout=PATIENCE, ssl_context=door.trust)
    else:
        client = library.IMAP4("127.0.0.1", door.port, timeout=PATIENCE)
    await client.wait_hello_from_server()
    try:
        answer = await client.login("me", door.secret)
        if answer.result != "OK":  # it returns what others raise
            raise Ended(f"{answer.result} {answer.lines}")
        await client.select()
        fetched = await client.fetch("1:*", "BODY.PEEK[]")
        return [bytes(line) for line in fetched.lines if isinstance(line, bytearray)]
    finally:
        await client.logout()


_TWISTED = """
import sys
from pathlib import Path
from twisted.internet import defer, endpoints, reactor, ssl
from twisted.mail import imap4

way, port, secret, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), Path(sys.argv[4])
trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM((folder / "ca.pem").read_bytes())])
context = ssl.optionsForClientTLS("localhost", trust)
failures = []

async def work():
    place = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    if way == "tls":
        place = endpoints.wrapClientTLS(context, place)
    client = await endpoints.connectProtocol(place, imap4.IMAP4Client(contextFactory=context))
    if way == "plain":
        client.startedTLS = True  # or it begins TLS
    await client.login(b"me", secret)  # after STARTTLS
    await client.select("INBOX")
    for number, one in (await client.fetchMessage(imap4.MessageSet(1, None))).items():
        (folder / "mail" / f"{int(number):04}").write_bytes(one["RFC822"].encode())
    await client.logout()

defer.ensureDeferred(work()).addErrback(failures.append).addBoth(lambda _: reactor.stop())
reactor.run()
sys.exit("".join(why.getErrorMessage() for why in failures) or 0)
"""


async def twisted(door: Door) -> list[bytes]:
    foreign("twisted.mail.imap4")
    foreign("OpenSSL")
    await finished(
        *(sys.executable, "-W", "ignore", "-c", _TWISTED, door.way, str(door.port), door.secret, str(door.folder))
    )
    return door.kept


async def curl(door: Door) -> list[bytes]:
    url = f"{'imaps' if door.way == 'tls' else 'imap'}://127.0.0.1:{door.port}/INBOX"
    common = ["curl", "-sS", "--cacert", str(door.ca), *["--ssl-reqd"] * (door.way == "starttls")]
    common += ["-u", f"me:{door.secret}", "--max-time", str(PATIENCE)]
    found = (await finished(*common, f"{url}?ALL")).removeprefix("* SEARCH").split()
    await finished(*common, f"{url};UID=[{found[0]}-{found[-1]}:1]", "-o", f"{door.folder}/mail/#1")
    return [(door.folder / "mail" / number).read_bytes() for number in found]


async def mbsync(door: Door) -> list[bytes]:
    rc = door.folder / "rc"
    security = {"plain": "None", "starttls": "STARTTLS", "tls": "IMAPS"}[door.way]
    rc.write_text(
        f"IMAPAccount lab\nHost localhost\nPort {door.port}\nUser me\nPass {door.secret}\nSSLType {security}\n"
        f"SystemCertificates no\nCertificateFile {door.ca}\nAuthMechs LOGIN\nTimeout 30\n\n"
        f"IMAPStore far\nAccount lab\n\nMaildirStore near\nInbox {door.folder}/mail/INBOX\n\n"
        f"Channel all\nFar :far:\nNear :near:\nCreate Near\nSync Pull\nSyncState {door.folder}/\n"
    )
    await finished("mbsync", "-q", "-c", str(rc), "all")
    names = [path for path in (door.folder / "mail" / "INBOX").glob("*/*,U=*")]
    names.sort(key=lambda path: int(path.name.partition(",U=")[2].partition(":")[0]))
    own = re.compile(rb"^X-TUID: .*\n", re.MULTILINE)  # mbsync puts it in
    return [own.sub(b"", path.read_bytes(), count=1).replace(b"\n", b"\r\n") for path in names]


CLIENTS: dict[Callable[[Door], Awaitable[list[bytes]]], str] = {
    imaplib_login: r"error: b'\[AUTHENTICATIONFAILED\]",
    imaplib_plain: r"error: \[AUTHENTICATIONFAILED\]",
    imaplib_cram_md5: r"error: \[AUTHENTICATIONFAILED\]",
    imap_tools: r"MailboxLoginError: .*\[AUTHENTICATIONFAILED\]",
    imapclient: r"LoginError: b?'?\[AUTHENTICATIONFAILED\]",
    aioimaplib: r"Ended: NO .*\[AUTHENTICATIONFAILED\]",
    twisted: r"Ended: 1 (?s:.*)\[AUTHENTICATIONFAILED\]",
    curl: r"Ended: 67 ",
    mbsync: r"Ended: 1 (?s:.*)\[AUTHENTICATIONFAILED\]",
}
"""The clients, and what each says when its secret is wrong."""

each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)


@pytest.mark.parametrize(
    ("client", "way"),
    [
        pytest.param(client, way, id=f"{way}-{client.__name__}")
        for way in ("plain", "starttls", "tls")
        for client in CLIENTS
        if (client, way) != (aioimaplib, "starttls")  # it has none
    ],
)
async def test_each_client_takes_everything_by_each_way(lab: Lab, tmp_path: Path, client: Any, way: str) -> None:
    mails = many_mails(3)
    for mail in mails:
        lab.deliver(mail)
    assert await client(Door.of(lab, lab.imap, way, tmp_path)) == mails
    assert {one.username for one in lab.dialogues} == {"me"}
    assert all(is_over_tls(one) == (way != "plain") for one in lab.dialogues)


@each_client
@pytest.mark.parametrize("way", ["plain", "tls"])
async def test_each_client_is_told_that_its_secret_is_wrong(lab: Lab, tmp_path: Path, client: Any, way: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own
        await client(Door.of(lab, lab.imap, way, tmp_path, "wrong"))
    assert re.search(CLIENTS[client], f"{caught.type.__name__}: {caught.value}"), caught.value
    await until(lambda: not lab.imap.clients)


@each_client
async def test_each_client_takes_a_message_of_5_mebibytes(lab: Lab, tmp_path: Path, client: Any) -> None:
    lab.deliver(big_mail())
    [got] = await client(Door.of(lab, lab.imap, "tls", tmp_path))
    assert got == big_mail()


@each_client
async def test_each_client_takes_200_messages(lab: Lab, tmp_path: Path, client: Any) -> None:
    mails = many_mails()
    for mail in mails:
        lab.deliver(mail)
    assert await client(Door.of(lab, lab.imap, "plain", tmp_path)) == mails
