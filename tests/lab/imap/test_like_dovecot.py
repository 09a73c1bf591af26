"""The lab and Dovecot say the same of the same messages: structures, envelopes, sections, searches."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from asyncnet import Credentials, imap
from asyncnet.errors import RefusedError
from asyncnet.lab.lab import Lab
from tests.lab.imap.test_structure import NESTED
from tests.peers import Authority
from tests.real.dovecot import Dovecot
from tests.real.running import running

pytestmark = pytest.mark.real

MESSAGES = [
    NESTED,
    b"Subject: ((((\r\n\r\nbody\r\n",
    b'Subject: "x"y\\z" )\r\nFrom: "a\\"b (c" <a@example.org>\r\n\r\n"\r\n',
    b"Subject: gr\xc3\xbcn\r\nX: \xff\xfe\r\n\r\n\xe4\xf6\xfc \xff\r\n",
    b"Subject: none\r\n\r\nends here",
    b"\r\nno header\r\n",
    b"From: Joe Q. Public <john.q.public@example.com>\r\n"
    b"To: Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>\r\n"
    b'Cc: <boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>\r\n'
    b"Date: Tue, 1 Jul 2003 10:52:37 +0200\r\nMessage-ID: <5678@example.com>\r\n"
    b"Subject: =?utf-8?q?gr=C3=BCn?=\r\n folded\r\nIn-Reply-To: <x@y>\r\n"
    b"Sender: s@example.org\r\nReply-To: r@example.org\r\n\r\nHi\r\n",
    b"From: Pete <pete@silly.example>\r\nTo: A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;\r\n"
    b"Cc: Undisclosed recipients:;\r\n\r\nx\r\n",
    b"From: Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\r\n"
    b"To: a@b (Comment Name), <@route,@r2:joe@where.test>\r\n\r\nx\r\n",
    b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: one\r\n\r\nbody one\r\n"
    b"--d\r\n\r\nSubject: two\r\n\r\nbody two\r\n--d--\r\n",
    b"Content-Type: multipart/mixed; boundary=never\r\n\r\nno parts at all\r\n",
    b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
    b"Content-Type: message/rfc822\r\n\r\nSubject: embedded\r\n\r\nbody\r\n",
    b"Content-Type: TEXT/HTML; CHARSET=iso-8859-1;\r\n\tname=a\r\nContent-Disposition: inline\r\n\r\n<p>\xe4</p>\r\n",
    b"Content-Type: multipart/mixed; boundary=open\r\n\r\n--open\r\n\r\nnever closed\r\n--open\r\n\r\nlast\r\n",
    b"Content-Type: multipart/mixed; boundary=e\r\n\r\n--e\r\n--e\r\nContent-Type: text/plain\r\n--e\r\n\r\n--e--\r\n",
    b"Subject: long\r\nX-Long: " + b"h" * 20_000 + b"\r\n\r\n" + b"b" * 100_000 + b"\r\n",
    b"Date: Wed, 1 Jan 2020 00:00:00 +0000\r\nFrom: =?utf-8?Q?Zo=C3=AB?= <zoe@example.org>\r\n"
    b"Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZSBhdXMgS8O2bG4K\r\n",
]
PARTS = ["HEADER", "TEXT", "1", "1.MIME", "2", "3", "1.HEADER", "1.TEXT"]
NESTED_PARTS = ["1", "2.1", "2.2.MIME", "3", "3.MIME", "4.HEADER", "4.1", "4.2.MIME", "5"]
SEARCHES = [
    "ALL", "SUBJECT none", "SUBJECT gr", "FROM zoe", "TO jones", "BODY hello", "TEXT folded", "TEXT first", "BODY html",
    'HEADER message-id ""', "HEADER X-Long h", "LARGER 1000", "SMALLER 30", "SENTON 1-Jan-2020", "SENTSINCE 1-Jan-2010",
    "NOT SUBJECT none", "OR SUBJECT none SUBJECT mixed", "(SUBJECT none) NOT (LARGER 20)", "UID 2:4", "1:3,5 NOT 2",
    "SEEN", "UNSEEN", "KEYWORD foo", "BEFORE 1-Jan-2010", "SINCE 1-Jan-2010", 'FROM ""', "CC boss", "NEW", "OLD",
    'BODY "köln"', 'SUBJECT "GRÜß"', 'FROM "ZOË"', 'TEXT "wörld"', "1:* NOT 1:5 (OR (LARGER 100) (SMALLER 25))",
]  # fmt: skip


@pytest.fixture(scope="module")
def dovecot(authority: Authority) -> Iterator[Dovecot]:
    yield from running(Dovecot(authority))


@asynccontextmanager
async def filled(url: str, credentials: Credentials) -> AsyncIterator[imap.Session]:
    async with imap.session(url, credentials) as session:
        for raw in MESSAGES:
            await session.append(raw)
        await session.select()
        yield session


@asynccontextmanager
async def both(dovecot: Dovecot, lab: Lab) -> AsyncIterator[tuple[imap.Session, imap.Session]]:
    account = dovecot.new_account()
    async with filled(dovecot.imap, Credentials(account.name, account.password)) as theirs:
        async with filled(lab.imap.url, lab.credentials) as ours:
            yield theirs, ours


async def test_structures_and_envelopes_are_the_same(dovecot: Dovecot, lab: Lab) -> None:
    async with both(dovecot, lab) as (theirs, ours):
        expected = await theirs.overview(structure=True, received=False)
        told = await ours.overview(structure=True, received=False)
    # Of a multipart within a multipart, Dovecot counts the line end that belongs to the outer delimiter (RFC 2046
    # §5.1.1): its first message has another size of its fourth part.
    for mine, real in list(zip(told, expected, strict=True))[1:]:
        assert replace(mine, others={}) == replace(real, others={}), mine.uid
    assert (told[0].envelope, told[0].flags) == (expected[0].envelope, expected[0].flags)


async def test_sections_are_the_same(dovecot: Dovecot, lab: Lab) -> None:
    async def section(session: imap.Session, uid: int, part: str) -> bytes:
        try:
            return (await session.fetch(uid, part=part)).raw
        except RefusedError:
            return b""  # Dovecot calls a part that there is not empty

    # Dovecot takes a part that is a leaf for its own part 1, so deeper parts are asked for where there are some.
    async with both(dovecot, lab) as (theirs, ours):
        for uid in range(1, len(MESSAGES) + 1):
            for part in NESTED_PARTS if uid == 1 else PARTS:
                assert await section(ours, uid, part) == await section(theirs, uid, part), (uid, part)
            assert (await ours.fetch(uid)).raw == (await theirs.fetch(uid)).raw


async def test_searches_find_the_same(dovecot: Dovecot, lab: Lab) -> None:
    async with both(dovecot, lab) as (theirs, ours):
        for criteria in SEARCHES:
            assert await ours.search(criteria) == await theirs.search(criteria), criteria
