"""The lab's web server: its pages, its record, and its faults as bytes on the wire."""

import asyncio
import gc
import hashlib
import json
import urllib.parse

import pytest

from asyncnet import (
    AuthenticationError,
    Credentials,
    DeadlineError,
    DisconnectedError,
    LimitError,
    NetError,
    ProtocolError,
    Retry,
    TLSError,
    UsageError,
    http,
)
from asyncnet.lab import Lab, Recorded
from asyncnet.lab.web_ranges import some_bytes
from tests.clock import MS
from tests.lab.raw import raw
from tests.leaks import open_sockets

REQUEST = b"GET /page/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\n"


async def wire(lab: Lab, request: bytes = REQUEST) -> tuple[bytes, bool]:
    """What the server says to one request until it ends, and whether it ended by a reset."""
    async with raw(lab.http.port, b"") as client:
        await client.send(request)
        said = await client.read_to_end()
        return said, client.was_reset


# Pages.


async def test_a_form_comes_back_as_it_was_sent(lab: Lab) -> None:
    answer = await http.post(f"{lab.http.url}/form?a=1&a=2", form=[("name", "grün"), ("x", "")])
    said = answer.json()
    assert (said["method"], said["params"]) == ("POST", [["a", "1"], ["a", "2"]])
    assert said["form"] == [["name", "grün"], ["x", ""]]
    said = (await http.post(f"{lab.http.url}/echo", json={"a": [1]})).json()
    assert said["json"] == {"a": [1]}


async def test_files_come_back_by_name_size_and_digest(lab: Lab) -> None:
    boundary = "xyz"
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
        b"content\r\n--xyz--\r\n"
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    said = (await http.post(f"{lab.http.url}/post", body=body, headers=headers)).json()
    digest = hashlib.sha256(b"content").hexdigest()
    assert said["files"] == [{"name": "f", "filename": "a.txt", "type": "text/plain", "size": 7, "sha256": digest}]


@pytest.mark.parametrize("status", [200, 204, 302, 404, 418, 503])
async def test_a_status_is_given_as_asked_for(lab: Lab, status: int) -> None:
    answer = await http.get(f"{lab.http.url}/status/{status}?retry_after=1", max_redirects=0)
    assert (answer.status, answer.headers["Retry-After"]) == (status, "1")


@pytest.mark.parametrize("path", ["/status/99", "/status/x", "/bytes/-1", "/slow?seconds=x", "/redirect/1?status=200"])
async def test_what_makes_no_sense_is_a_400(lab: Lab, path: str) -> None:
    assert (await http.get(f"{lab.http.url}{path}")).status == 400


async def test_an_unknown_page_is_a_404(lab: Lab) -> None:
    assert (await http.get(f"{lab.http.url}/nowhere")).status == 404


async def test_a_slow_page_comes_late_and_a_dripping_one_in_drops(lab: Lab) -> None:
    with pytest.raises(DeadlineError):
        await http.get(f"{lab.http.url}/slow?seconds=60", timeout=50 * MS)
    assert (await http.get(f"{lab.http.url}/slow?seconds=0")).text() == "at last\n"
    pieces = []
    async with http.stream("GET", f"{lab.http.url}/drip?bytes=5&seconds=0.05") as answer:
        async for piece in answer:
            pieces.append(piece)
    assert b"".join(pieces) == b"*****"
    assert len(pieces) > 1


async def test_a_flaky_page_fails_first_or_now_and_then(lab: Lab) -> None:
    async def visits(path: str, count: int) -> list[int]:
        return [(await http.get(f"{lab.http.url}{path}")).status for _ in range(count)]

    assert await visits("/flaky?fails=2", 4) == [503, 503, 200, 200]
    assert await visits("/flaky?every=3&status=429", 6) == [200, 200, 429, 200, 200, 429]


async def test_redirects_are_counted_down_and_cross_origins(lab: Lab) -> None:
    answer = await http.get(f"{lab.http.url}/redirect/3")
    assert answer.text() == "arrived by GET\n"
    answer = await http.post(f"{lab.http.url}/redirect/2?status=307", body=b"x")
    assert answer.text() == "arrived by POST\n"
    answer = await http.get(f"{lab.http.url}/redirect/1?across=1")
    assert answer.url.startswith("http://localhost:")
    to = urllib.parse.quote(f"{lab.http.url}/page/end", safe="")
    answer = await http.get(f"{lab.http.url}/redirect/2?to={to}")
    assert answer.text() == "page end\n"


def test_any_part_of_the_bytes_is_the_same_as_of_all() -> None:
    whole = some_bytes(7, 0, 5000)
    assert all(some_bytes(7, at, at + 700) == whole[at : at + 700] for at in (0, 1, 1023, 1024, 1025, 3000))
    assert some_bytes(8, 0, 5000) != whole


@pytest.mark.parametrize(
    ("headers", "status", "part"),
    [
        ({}, 200, slice(0, 100)),
        ({"Range": "bytes=10-19"}, 206, slice(10, 20)),
        ({"Range": "bytes=90-"}, 206, slice(90, 100)),
        ({"Range": "bytes=-7"}, 206, slice(93, 100)),
        ({"Range": "bytes=50-5000"}, 206, slice(50, 100)),
        ({"Range": "bytes=1-2,4-5"}, 200, slice(0, 100)),
        ({"Range": "bytes=100-"}, 416, None),
        ({"Range": "bytes=1-2", "If-Range": '"other"'}, 200, slice(0, 100)),
        ({"Range": "bytes=1-2", "If-Range": '"1-100"'}, 206, slice(1, 3)),
        ({"If-None-Match": '"1-100"'}, 304, None),
    ],
)
async def test_ranges_are_those_of_the_rfc(lab: Lab, headers: dict, status: int, part: slice | None) -> None:
    answer = await http.get(f"{lab.http.url}/bytes/100?seed=1", headers=headers)
    assert answer.status == status
    if part is not None:
        assert answer.body == some_bytes(1, 0, 100)[part]


async def test_a_download_goes_on_where_it_was_cut(lab: Lab, tmp_path) -> None:
    lab.faults.on("http", "GET /bytes/100000", cut_after=30_000, times=1)
    await http.download(f"{lab.http.url}/bytes/100000", tmp_path / "file", retry=Retry(attempts=3, first_delay=MS))
    assert (tmp_path / "file").read_bytes() == some_bytes(0, 0, 100_000)
    assert [request.headers.get("range") for request in lab.requests][1].startswith("bytes=")


async def test_events_are_numbered_and_go_on_after_the_last(lab: Lab) -> None:
    async with raw(lab.http.port, b"") as client:
        await client.send(b"GET /events?count=4 HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 2\r\nConnection: close\r\n\r\n")
        said = await client.read_to_end()
    assert b"text/event-stream" in said
    assert said.count(b"event: tick") == 2
    assert b"id: 3\nevent: tick\ndata: event 3\n\n" in said


@pytest.mark.parametrize("path", ["/basic", "/digest"])
async def test_the_accounts_of_the_lab_sign_in(lab: Lab, path: str) -> None:
    url = f"{lab.http.url}{path}"
    assert (await http.get(url)).status == 401
    assert (await http.get(url, lab.credentials_of("you"))).text() == "hello you\n"
    with pytest.raises(AuthenticationError):
        await http.get(url, Credentials("you", "wrong"))


async def test_a_digest_of_another_page_or_a_made_up_nonce_is_refused(lab: Lab) -> None:
    for field in ('Digest username="me", nonce="1", uri="/digest", response="0"', "Digest", 'Digest username="me'):
        assert (await http.get(f"{lab.http.url}/digest", headers={"Authorization": field})).status == 401


async def test_an_encoded_page_is_decoded_by_who_reads_it(lab: Lab) -> None:
    answer = await http.get(f"{lab.http.url}/encoded/gzip")
    assert answer.text() == "page " * 1000


async def test_a_page_of_ones_own_says_what_it_was_told(lab: Lab) -> None:
    lab.http.answer("/users", json=[{"name": "ada"}], headers={"X-Total": "1"})
    lab.http.answer("POST /users", status=201, body="made")
    answer = await http.get(f"{lab.http.url}/users")
    assert (answer.json(), answer.headers["X-Total"]) == ([{"name": "ada"}], "1")
    answer = await http.post(f"{lab.http.url}/users", json={})
    assert (answer.status, answer.text()) == (201, "made")
    for wrong in (
        lambda: lab.http.answer("users"),
        lambda: lab.http.answer("/a", status=99),
        lambda: lab.http.answer("/a", body=b"x", json=1),
        lambda: lab.http.answer("/a", headers={"X": "a\r\nY: b"}),
    ):
        with pytest.raises(UsageError):
            wrong()


# The record.


async def test_requests_are_recorded_whole_before_their_answer_has_come(lab: Lab) -> None:
    await http.post(f"{lab.http.webhook_url('paid')}?a=1", json={"n": 1}, headers={"X-One": "1"})
    await http.post(f"{lab.http.url}/form", form={"a": "b"})
    first, second = lab.requests
    assert (first.method, first.webhook, first.json(), first.status) == ("POST", "paid", {"n": 1}, 200)
    assert (first.params, first.headers["x-one"]) == ({"a": ["1"]}, "1")
    assert (second.form(), second.webhook, second.is_tls) == ([("a", "b")], None, False)


async def test_until_hears_of_a_request(lab: Lab) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(lab.until(lambda: lab.requests))
        await http.post(lab.http.webhook_url("a"), body=b"x")


async def test_the_dialogue_has_both_sides_and_no_secret(lab: Lab) -> None:
    await http.get(f"{lab.http.url}/basic", lab.credentials)
    await http.post(lab.http.webhook_url("a"), body=b"the body", headers={"Cookie": "sid=topsecret"})
    text = "\n".join(map(str, lab.dialogues))
    assert "C: GET /basic HTTP/1.1" in text
    assert "Authorization: (a secret)" in text
    assert "the body" in text
    assert "hello me" in text
    assert "topsecret" not in text
    assert "bWU6c2VjcmV0" not in text


async def test_a_body_beyond_the_limit_is_refused_and_none_of_it_kept() -> None:
    async with Lab(max_message_bytes=1000) as lab:
        answer = await http.post(lab.http.webhook_url("a"), body=b"x" * 2000)
        assert answer.status == 413
        assert [(request.status, request.body) for request in lab.requests] == [(413, b"")]


async def test_kept_bodies_are_bounded_together(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr("asyncnet.lab.web._MAX_RECORDED_BYTES", 2500)
    for _ in range(4):
        await http.post(lab.http.webhook_url("a"), body=b"x" * 1000)
    assert len(lab.requests) == 2


async def test_pages_come_over_tls_too(lab: Lab) -> None:
    answer = await http.post(f"{lab.http.tls_url}/webhook/a", body=b"x", tls=lab.tls)
    assert answer.status == 200
    assert lab.requests[0].is_tls
    with pytest.raises(TLSError):
        await http.get(f"{lab.http.tls_url}/page/x")
    lab.faults.on("http", "TLS", certificate="expired")
    with pytest.raises(TLSError, match="expired"):
        await http.get(f"{lab.http.tls_url}/page/x", tls=lab.tls)


async def test_expect_100_is_answered_before_the_body_is_read(lab: Lab) -> None:
    async with raw(lab.http.port, b"") as client:
        await client.send(b"POST /webhook/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert await client.read(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"body")
        assert (await client.read()).startswith(GOOD)
    assert lab.requests[0].body == b"body"


async def test_pipelined_requests_are_answered_in_order(lab: Lab) -> None:
    async with raw(lab.http.port, b"") as client:
        await client.send(b"".join(REQUEST.replace(b"/x", b"/%d" % i) for i in range(5)))
        for i in range(5):
            await client.read(b"page %d\n" % i)


# Faults.


async def test_a_refused_request_is_a_503_and_is_not_done(lab: Lab) -> None:
    rule = lab.faults.on("http", "POST /webhook/a", refuse=True, times=1)
    answer = await http.post(lab.http.webhook_url("a"), body=b"x")
    assert (answer.status, rule.met, len(lab.requests)) == (503, 1, 0)
    assert (await http.post(lab.http.webhook_url("a"), body=b"x")).status == 200


async def test_greylisting_is_a_429_with_retry_after_the_first_time(lab: Lab) -> None:
    lab.faults.on("http", "GET", greylist=True)
    answers = [await http.get(f"{lab.http.url}/page/x") for _ in range(2)]
    assert [(one.status, one.headers.get("Retry-After")) for one in answers] == [(429, "0"), (200, None)]


async def test_the_answer_is_cut_after_so_many_bytes(lab: Lab) -> None:
    lab.faults.on("http", "GET /page/x", cut_after=30)
    said, was_reset = await wire(lab)
    assert (len(said), said.startswith(GOOD), was_reset) == (30, True, False)


async def test_the_answer_is_reset_after_so_many_bytes(lab: Lab) -> None:
    lab.faults.on("http", "GET /page/x", reset_after=30)
    said, was_reset = await wire(lab)
    assert (len(said), was_reset) == (30, True)


async def test_the_answer_is_lost_though_the_request_was_done(lab: Lab) -> None:
    lab.faults.on("http", "POST /webhook/a", lose_answer=True)
    with pytest.raises(DisconnectedError):
        await http.post(lab.http.webhook_url("a"), body=b"x")
    assert len(lab.requests) == 1


async def test_silence_ends_by_the_clients_deadline_and_the_server_notices(lab: Lab) -> None:
    lab.faults.on("http", "GET /page/x", silence=True)
    with pytest.raises(DeadlineError):
        await http.get(f"{lab.http.url}/page/x", timeout=50 * MS)
    await lab.until(lambda: all(dialogue.ended for dialogue in lab.dialogues))


async def test_garbage_and_endless_answers_are_told_from_http(lab: Lab) -> None:
    lab.faults.on("http", "GET /page/garbage", garbage=200)
    lab.faults.on("http", "GET /page/line", endless_line=True)
    lab.faults.on("http", "GET /page/reply", endless_reply=True)
    for page in ("garbage", "line", "reply"):
        with pytest.raises((ProtocolError, LimitError)):
            await http.get(f"{lab.http.url}/page/{page}", timeout=5000 * MS)
    await lab.until(lambda: all(dialogue.ended for dialogue in lab.dialogues))


async def test_any_bytes_may_be_the_reply(lab: Lab) -> None:
    lab.faults.on("http", "GET /page/x", reply=b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno")
    assert (await wire(lab))[0] == b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"


async def test_drip_and_delay_change_when_and_not_what(lab: Lab) -> None:
    lab.faults.on("http", "GET /page/a", drip=0.0001)
    lab.faults.on("http", "GET /page/b", delay=30 * MS)
    assert (await http.get(f"{lab.http.url}/page/a")).text() == "page a\n"
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await http.get(f"{lab.http.url}/page/b")).text() == "page b\n"
    assert loop.time() - began >= 25 * MS


async def test_a_client_that_comes_may_be_refused_at_the_door(lab: Lab) -> None:
    lab.faults.on("http", "CONNECT", refuse=True, times=1)
    said, was_reset = await wire(lab)
    assert (said, was_reset) == (b"", True)


async def test_what_is_no_http_is_a_400_and_harms_nobody(lab: Lab) -> None:
    said, _ = await wire(lab, b"\x00\xff nonsense\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400") or said.startswith(b"HTTP/1.0 400")
    assert (await http.get(f"{lab.http.url}/page/x")).status == 200


async def test_a_restart_keeps_port_and_pages(lab: Lab) -> None:
    lab.http.answer("/own", body="mine")
    port = lab.http.port
    await lab.restart("http")
    assert lab.http.port == port
    assert (await http.get(f"{lab.http.url}/own")).text() == "mine"


async def test_it_ends_at_once_whatever_its_clients_do(lab: Lab) -> None:
    lab.faults.on("http", "GET /page/silent", silence=True)
    requests = [b"/slow?seconds=60", b"/events?count=100&seconds=1", b"/page/silent", b"/lab/news"]
    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(wire(lab, b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path)) for path in requests
        ]
        # The page's own question is in no dialogue; who is accepted first is the loop's affair.
        while lab.http.clients < len(requests) or sum(bool(one.lines) for one in lab.dialogues) < 3:  # noqa: ASYNC110
            await asyncio.sleep(MS)
        began = asyncio.get_running_loop().time()
        await lab.aclose()
        assert asyncio.get_running_loop().time() - began < 1000 * MS
    assert all(task.done() for task in waiting)


async def test_chaos_is_the_same_for_the_same_seed() -> None:
    async def statuses() -> list[str]:
        async with Lab() as lab:
            lab.chaos(seed=3, rate=0.4, protocols=["http"], kinds=["refuse", "cut", "lose_answer"])
            told = []
            for _ in range(12):
                try:
                    told.append(str((await http.get(f"{lab.http.url}/page/x")).status))
                except NetError as error:
                    told.append(type(error).__name__)
            return told

    first = await statuses()
    assert first == await statuses()
    assert len(set(first)) > 1


async def test_json_is_json(lab: Lab) -> None:
    answer = await http.post(f"{lab.http.url}/echo", body=b"{", headers={"Content-Type": "application/json"})
    assert answer.status == 400
    await http.post(lab.http.webhook_url("a"), body=b"{")
    with pytest.raises(json.JSONDecodeError):
        lab.requests[-1].json()


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
async def test_labs_one_after_another_leak_nothing(count: int) -> None:
    async def one() -> None:
        async with Lab() as lab:
            lab.faults.on("http", "GET /page/cut", cut_after=10)
            for path in (b"/page/x", b"/page/cut", b"/", b"/lab/state"):  # by bare sockets: a client has caches
                said, _ = await wire(lab, b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % path)
                assert said.startswith(b"HTTP/1.1 2"[: len(said)])

    def living() -> int:
        gc.collect()
        return len(gc.get_objects())

    for _ in range(10):
        await one()
    sockets, tasks, objects = open_sockets(), asyncio.all_tasks(), living()
    for _ in range(count):
        await one()
    assert open_sockets() == sockets
    assert asyncio.all_tasks() == tasks
    assert living() - objects < max(500, count)  # less than one object a lab


async def test_who_leaves_before_the_answer_has_asked_all_the_same(lab: Lab) -> None:
    async with raw(lab.http.port, b"") as client:
        await client.send(b"POST /slow?seconds=60 HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\nhi")
        async with asyncio.timeout(5000 * MS):
            while not (lab.dialogues and any(line.data == b"hi" for line in lab.dialogues[-1].lines)):  # noqa: ASYNC110 - a lab tells of no line
                await asyncio.sleep(MS)
    await lab.until(lambda: lab.requests)
    [request] = lab.requests
    assert (request.path, request.body, request.status) == ("/slow", b"hi", 0)


async def test_requests_that_are_forgotten_make_room(lab: Lab) -> None:
    for number in range(10_100):
        lab.http.record(Recorded("POST", "/", body=b"x" * 20_000 if number < 50 else b""))
    lab.http.record(Recorded("POST", "/", body=bytes(134_217_728)))
    assert len(lab.requests) == 10_000
