"""Strangers judge the lab's IMAP server: clients that others wrote do their full work against it."""

import asyncio
import imaplib
import json
import shutil
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from asyncnet import imap
from asyncnet.daemon import in_daemon
from asyncnet.lab.lab import Lab
from tests.clock import MS
from tests.lab.imap.raw import until
from tests.real.running import absent, foreign

PATIENCE = 30_000 * MS


def mail(subject: str, text: str = "hello\n", attachment: bytes = b"") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Zoë <zoe@example.org>"
    message["To"] = "me@example.org"
    message["Subject"] = subject
    message["Date"] = "Wed, 01 Jul 2026 10:00:00 +0000"
    message["Message-ID"] = f"<{abs(hash(subject))}@example.org>"
    message.set_content(text)
    if attachment:
        message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="data (1).bin")
    return message


async def blocking(work: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await in_daemon(work)


async def finished(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a program to its end, which must be a good one; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


def _imaplib(port: int, tls: Any) -> None:
    client = imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE)
    client.starttls(tls)
    assert client.login("me", "secret")[0] == "OK"
    assert client.enable("UTF8=ACCEPT")[0] == "OK"
    for made in ("Work", "Work/2026"):
        assert client.create(made)[0] == "OK"
    assert client.rename("Work/2026", "Work/Old")[0] == "OK"
    assert client.subscribe("Work")[0] == client.unsubscribe("Work")[0] == "OK"
    assert b'"Work/Old"' in b" ".join(client.list()[1])
    assert client.lsub()[1] != [None]
    assert client.namespace()[1] == [b'(("" "/")) NIL NIL']
    when = imaplib.Time2Internaldate(1_700_000_000)
    status, said = client.append("INBOX", r"(\Flagged $Work)", when, mail("Grüße").as_bytes())
    assert status == "OK", said
    assert b"APPENDUID" in said[0]
    assert client.select() == ("OK", [b"2"])
    assert client.response("UIDVALIDITY")[1] != [None]
    assert client.search(None, "FLAGGED")[1] == [b"2"]
    client.literal = "grüße".encode()
    assert client.uid("SEARCH", "SUBJECT")[1] == [b"2"]
    _, fetched = client.fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
    assert fetched[0][1].startswith(b"From: ")
    assert imaplib.Internaldate2tuple(fetched[2][0]) == time.localtime(1_700_000_000)
    assert client.store("1", "+FLAGS", r"\Seen")[1][0].startswith(b"1 (UID 1 FLAGS (")
    assert imaplib.ParseFlags(client.fetch("1", "FLAGS")[1][0]) != ()
    assert client.copy("1:2", "Work")[0] == "OK"
    assert client.uid("MOVE", "2", "Work/Old")[0] == "OK"
    assert client.status("Work", "(MESSAGES UNSEEN UIDNEXT)")[1] == [b'"Work" (MESSAGES 2 UNSEEN 1 UIDNEXT 3)']
    client.store("1", "+FLAGS.SILENT", r"(\Deleted)")
    assert client.expunge()[1][-1] == b"1"  # before it stands what MOVE has told
    assert client.check()[0] == client.close()[0] == "OK"
    assert client.select("Work", readonly=True)[0] == client.unselect()[0] == "OK"
    assert client.delete("Work/Old")[0] == "OK"
    with pytest.raises(imaplib.IMAP4.error):
        client.select("")
    assert client.select("Nowhere")[0] == "NO"
    assert client.logout()[0] == "BYE"


async def test_imaplib(lab: Lab) -> None:
    lab.deliver(mail("first"))
    await blocking(lambda: _imaplib(lab.imap.port, lab.tls))
    assert [message.flags for message in lab.mailbox("me", "Work")] == [
        frozenset({"\\Seen"}),
        frozenset({"\\Flagged", "$Work"}),
    ]
    assert len(lab.mailbox("me")) == 0


def _imap_tools(port: int, tls: Any, data: bytes) -> None:
    from imap_tools import AND, OR, A, MailBox, MailMessageFlags

    with MailBox("127.0.0.1", port, timeout=PATIENCE, ssl_context=tls).login("me", "secret", "INBOX") as box:
        for bulk in (False, True, 2):
            assert [one.subject for one in box.fetch(bulk=bulk, mark_seen=False)] == ["Grüße", "second", "third"]
        one = next(iter(box.fetch(AND(subject="Grüße", from_="zoe"), charset="utf8", mark_seen=False)))
        assert (one.from_values.name, one.attachments[0].filename, one.attachments[0].payload) == (
            "Zoë",
            "data (1).bin",
            data,
        )
        assert box.uids(OR(A(subject="second"), A(subject="third"))) == ["2", "3"]
        assert box.numbers() == ["1", "2", "3"]
        assert [message.subject for message in box.fetch(limit=1, reverse=True, headers_only=True)] == ["third"]
        box.folder.create("Ärger/Tief")
        assert box.folder.exists("Ärger/Tief")
        assert {"\\Sent"} <= set(box.folder.list("", "Sent")[0].flags)
        box.copy(["1"], "Ärger")
        box.move(["2"], "Ärger/Tief")
        box.flag(["1"], [MailMessageFlags.FLAGGED, "$Done"], True)
        assert set(next(iter(box.fetch(A(uid="1")))).flags) >= {"\\Flagged", "$Done"}
        box.delete(["3"])
        assert box.folder.status("Ärger/Tief")["MESSAGES"] == 1
        box.append(
            mail("from imap-tools").as_bytes(), "Ärger", dt=datetime(2026, 1, 2, tzinfo=UTC), flag_set=["\\Seen"]
        )
        box.folder.rename("Ärger", "Freude")
        box.folder.set("Freude")
        assert [message.subject for message in box.fetch()] == ["Grüße", "from imap-tools"]
        box.folder.subscribe("Freude", True)
        with box.idle as idle:
            assert idle.poll(timeout=0.01) == []


async def test_imap_tools(lab: Lab) -> None:
    foreign("imap_tools")
    data = bytes(range(256)) * 10
    for subject in ("Grüße", "second", "third"):
        lab.deliver(mail(subject, attachment=data))
    await blocking(lambda: _imap_tools(lab.imap.tls_port, lab.tls, data))
    assert [one.uid for one in lab.mailbox("me")] == [1]
    assert "Freude" in lab.account("me").subscriptions


def _imapclient(port: int, tls: Any) -> None:
    from imapclient import IMAPClient, SocketTimeout
    from imapclient.response_types import Address

    with IMAPClient("127.0.0.1", port, ssl_context=tls, timeout=SocketTimeout(PATIENCE, PATIENCE)) as client:
        client.sasl_login("PLAIN", lambda _: b"\0me\0secret")
        assert client.has_capability("CONDSTORE")
        assert client.id_({"name": "test"})[0][:2] == (b"name", b"asyncnet lab")
        assert client.namespace().personal == (("", "/"),)
        assert client.find_special_folder(b"\\Trash") == "Trash"
        client.create_folder("Über/uns")
        assert [name for _, _, name in client.list_folders("", "Über*")] == ["Über", "Über/uns"]
        assert client.select_folder("INBOX")[b"EXISTS"] == 2
        assert client.search(["SUBJECT", "Grüße"], charset="UTF-8") == [1]
        assert client.search(["NOT", ["SEEN", "UID", "2"]]) == [1, 2]
        got = client.fetch([1, 2], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "MODSEQ"])
        assert got[1][b"ENVELOPE"].subject == b"=?utf-8?q?Gr=C3=BC=C3=9Fe?="
        assert got[1][b"ENVELOPE"].from_ == (Address(b"=?utf-8?q?Zo=C3=AB?=", None, b"zoe", b"example.org"),)
        assert got[1][b"BODYSTRUCTURE"].is_multipart
        text, attached = got[1][b"BODYSTRUCTURE"][0]
        assert (text[:2], attached[:2]) == ((b"text", b"plain"), (b"application", b"octet-stream"))
        assert attached[8][1][1] == b"data (1).bin"
        assert client.fetch(1, ["BODY.PEEK[2]<0.4>"])[1][b"BODY[2]<0>"] == b"AAEC"
        fields = client.fetch(2, ["BODY.PEEK[HEADER.FIELDS (SUBJECT)]"])[2]
        assert fields[b"BODY[HEADER.FIELDS (SUBJECT)]"] == b"Subject: second\r\n\r\n"
        assert b"\\Answered" in client.add_flags([1], [b"\\Answered"])[1]
        assert client.get_flags([1])[1]
        client.copy([1], "Über")
        client.move([2], "Über/uns")
        assert client.folder_status("Über/uns", ["MESSAGES", "SIZE"])[b"MESSAGES"] == 1
        assert b"APPENDUID" in client.append("INBOX", mail("third").as_bytes(), [b"\\Draft"], datetime(2026, 1, 1))
        client.idle()
        assert client.idle_check(timeout=0.01) == []
        client.idle_done()
        client.delete_messages([1])
        client.uid_expunge([1])
        client.multiappend("Über", [{"msg": mail("a").as_bytes()}, {"msg": mail("b").as_bytes(), "flags": [b"\\Seen"]}])
        client.unselect_folder()
        assert client.folder_status("Über")[b"MESSAGES"] == 3
        client.rename_folder("Über/uns", "Allein")
        client.delete_folder("Allein")


async def test_imapclient(lab: Lab) -> None:
    foreign("imapclient")
    lab.deliver(mail("Grüße", attachment=bytes(range(256))).as_bytes())
    lab.deliver(mail("second"))
    await blocking(lambda: _imapclient(lab.imap.tls_port, lab.tls))
    assert [one.flags for one in lab.mailbox("me")] == [frozenset({"\\Draft"})]


async def test_aioimaplib(lab: Lab) -> None:
    aioimaplib = foreign("aioimaplib")
    lab.deliver(mail("first"))
    client = aioimaplib.IMAP4("127.0.0.1", lab.imap.port, timeout=PATIENCE)
    await client.wait_hello_from_server()
    assert (await client.login("me", "secret")).result == "OK"
    assert (await client.id(name="test")).result == "OK"
    assert (await client.namespace()).result == "OK"
    assert (await client.create("Work")).result == (await client.list('""', "*")).result == "OK"
    assert (await client.select()).result == "OK"
    assert (await client.append(mail("second").as_bytes(), "INBOX", flags="\\Seen")).result == "OK"
    assert (await client.uid_search("SEEN")).lines[0] == b"2"
    assert bytes((await client.fetch("1", "(UID RFC822)")).lines[1]).startswith(b"From: ")
    assert (await client.uid("store", "1", "+FLAGS", "(\\Flagged)")).result == "OK"
    assert (await client.copy("1", "Work")).result == "OK"
    assert (await client.uid("move", "2", "Work")).result == "OK"
    idling = await client.idle_start(timeout=PATIENCE)
    lab.deliver(mail("third"))
    assert any(b"EXISTS" in line for line in await client.wait_server_push())
    client.idle_done()
    async with asyncio.timeout(PATIENCE):
        await idling
    assert (await client.expunge()).result == (await client.close()).result == "OK"
    assert (await client.logout()).result == "OK"
    assert len(lab.mailbox("me", "Work")) == 2
    await until(lambda: not lab.imap.clients)


async def test_curl(lab: Lab, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        absent("no curl here")
    (tmp_path / "ca.pem").write_bytes(lab.ca_pem)
    letter = tmp_path / "letter.eml"
    letter.write_bytes(mail("by curl").as_bytes().replace(b"\n", b"\r\n"))
    lab.deliver(mail("first"))
    common = [curl, "-sS", "--max-time", str(PATIENCE), "-u", "me:secret", "--cacert", tmp_path / "ca.pem"]
    for url, more in (
        (lab.imap.url, []),
        (lab.imap.url, ["--ssl-reqd"]),
        (lab.imap.tls_url, []),
        (lab.imap.url, ["--login-options", "AUTH=PLAIN", "--sasl-ir"]),
    ):
        got = await finished(*common, *more, f"{url}/INBOX;UID=1")
        assert "Subject: first" in got
    assert "Subject: first" in await finished(*common, f"{lab.imap.url}/INBOX;MAILINDEX=1;SECTION=HEADER")
    assert "* SEARCH 1" in await finished(*common, f"{lab.imap.url}/INBOX?ALL")
    assert '"Drafts"' in await finished(*common, f"{lab.imap.url}/")
    await finished(*common, "-T", letter, f"{lab.imap.url}/Drafts")
    assert "STATUS" in await finished(*common, "-X", "STATUS INBOX (MESSAGES)", f"{lab.imap.url}/INBOX")
    assert lab.mailbox("me", "Drafts").messages[0].raw == letter.read_bytes()


async def test_mbsync_there_and_back(lab: Lab, tmp_path: Path) -> None:
    mbsync = shutil.which("mbsync")
    if mbsync is None:
        absent("no mbsync here (isync)")
    for number in range(20):
        lab.deliver(mail(f"message {number}"), flags=["\\Seen"] if number % 2 else [])
    (tmp_path / "ca.pem").write_bytes(lab.ca_pem)
    rc = tmp_path / "rc"
    rc.write_text(
        f"IMAPAccount lab\nHost localhost\nPort {lab.imap.port}\nUser me\nPass secret\nSSLType STARTTLS\n"
        f"SystemCertificates no\nCertificateFile {tmp_path}/ca.pem\nTimeout 30\n\n"
        f"IMAPStore far\nAccount lab\n\nMaildirStore near\nPath {tmp_path}/mail/\nInbox {tmp_path}/mail/INBOX\n"
        f"SubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\n"
        f"SyncState {tmp_path}/state/\n"
    )
    (tmp_path / "mail").mkdir()
    (tmp_path / "state").mkdir()
    await finished(mbsync, "-q", "-c", rc, "all")
    inbox = tmp_path / "mail" / "INBOX"
    files = sorted([*(inbox / "new").iterdir(), *(inbox / "cur").iterdir()])
    assert len(files) == 20
    # Both ways: one is deleted here, one there; a new mailbox with a message goes up.
    seen = next(file for file in files if ",S" in file.name or file.name.endswith("S"))
    seen.unlink()
    lab.mailbox("me").expunge([1])
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "mail" / "Upward" / folder).mkdir(parents=True)
    (tmp_path / "mail" / "Upward" / "cur" / "1.1.host:2,F").write_bytes(mail("going up").as_bytes())
    await finished(mbsync, "-q", "-c", rc, "all")
    assert len(lab.mailbox("me")) == 18
    assert len([*(inbox / "new").iterdir(), *(inbox / "cur").iterdir()]) == 18
    (up,) = lab.mailbox("me", "Upward").messages
    assert b"Subject: going up" in up.raw
    assert up.flags == {"\\Flagged"}


_TWISTED = r"""
import json, sys
from twisted.internet import defer, protocol, reactor, endpoints
from twisted.mail import imap4
from io import BytesIO

port, told = int(sys.argv[1]), {}

async def work():
    place = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    client = await endpoints.connectProtocol(place, imap4.IMAP4Client())
    told["capabilities"] = sorted(name.decode() for name in await client.getCapabilities())
    await client.login(b"me", b"secret")
    told["namespace"] = str(await client.namespace())
    await client.create("Twisted")
    told["list"] = sorted(name for _, _, name in await client.list("", "*"))
    told["exists"] = (await client.select("INBOX"))["EXISTS"]
    told["uids"] = [int(uid) for uid in await client.search(imap4.Query(subject="first"), uid=True)]
    everything = imap4.MessageSet(1, None)
    told["raw"] = (await client.fetchMessage(imap4.MessageSet(1)))[1]["RFC822"]
    told["sizes"] = {str(n): one["RFC822.SIZE"] for n, one in (await client.fetchSize(everything)).items()}
    told["envelope"] = (await client.fetchEnvelope(imap4.MessageSet(1)))[1]["ENVELOPE"][1]
    told["structure"] = (await client.fetchBodyStructure(imap4.MessageSet(1)))[1]["BODYSTRUCTURE"][:2]
    await client.addFlags(imap4.MessageSet(1), ["\\Deleted"])
    await client.copy(imap4.MessageSet(1), "Twisted", False)
    await client.append("INBOX", BytesIO(b"Subject: by twisted\r\n\r\nx\r\n"), ["\\Seen"])
    told["status"] = {k: int(v) for k, v in (await client.status("Twisted", "MESSAGES", "UIDNEXT")).items()}
    told["expunged"] = await client.expunge()
    await client.rename("Twisted", "Wound")
    await client.subscribe("Wound")
    await client.noop()
    await client.close()
    await client.logout()

def end(result):
    if result is not None:
        result.printTraceback(file=sys.stderr)
        told["failed"] = True
    reactor.stop()

defer.ensureDeferred(work()).addBoth(end)
reactor.run()
print(json.dumps(told))
sys.exit(1 if "failed" in told else 0)
"""


async def test_twisted(lab: Lab) -> None:
    foreign("twisted.mail.imap4")
    lab.deliver(mail("first"))
    lab.deliver(mail("second"))
    told = json.loads(await finished(sys.executable, "-c", _TWISTED, str(lab.imap.port)))
    assert "IMAP4rev1" in told["capabilities"]
    assert told["list"] == ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash", "Twisted"]
    assert (told["exists"], told["uids"], told["envelope"], told["expunged"]) == (2, [1], "first", [1])
    assert told["structure"] == ["text", "plain"]
    assert told["raw"].startswith("From: ")
    assert told["status"] == {"MESSAGES": 1, "UIDNEXT": 2}
    assert "Wound" in lab.account("me").subscriptions
    assert [one.raw for one in lab.mailbox("me")][-1] == b"Subject: by twisted\r\n\r\nx\r\n"


async def test_a_client_that_never_reads_holds_nobody_up(lab: Lab) -> None:
    for _ in range(50):
        lab.deliver(b"Subject: big\r\n\r\n" + b"x" * 100_000)
    with socket.create_connection(("127.0.0.1", lab.imap.port)) as lazy:
        lazy.sendall(b"a LOGIN me secret\r\nb SELECT INBOX\r\n" + b"c FETCH 1:* BODY.PEEK[]\r\n" * 20)
        async with asyncio.timeout(PATIENCE):
            async with imap.session(lab.imap.url, lab.credentials) as session:
                await session.select()
                assert len(await session.search()) == 50
