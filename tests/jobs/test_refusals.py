"""Refusals: which errors ask for patience, and how a host's pace is found from them."""

import pytest

from asyncnet.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    RecipientsRefused,
    RefusedError,
    StatusError,
)
from asyncnet.jobs.rates import Pace
from asyncnet.jobs.refusals import Patience, asks_for_patience
from tests.jobs.virtual import Bucket, Crowd, Sliding, Window


@pytest.mark.parametrize(
    ("error", "asks"),
    [
        (StatusError(code=429, transient=True), True),
        (StatusError(code=503, transient=True), True),
        (StatusError(code=502, transient=True), False),
        (StatusError(code=502, transient=True, retry_after=3.0), True),
        (StatusError(code=404), False),
        (RefusedError(code=451, transient=True), True),
        (RecipientsRefused(refused={"a@b": (452, "full")}), True),
        (RecipientsRefused(refused={"a@b": (550, "no")}), False),
        (RefusedError(code="NO", text="[LIMIT] enough", transient=True), True),
        (AuthenticationError(code="NO", text="[UNAVAILABLE]", transient=True), True),
        (RefusedError(code="-ERR", text="[SYS/TEMP]", transient=True), True),
        (RefusedError(code="-ERR", text="[IN-USE]", transient=True), True),
        (RefusedError(code="NO", text="no such mailbox"), False),
        (ConnectError("refused"), False),
        (DeadlineError(seconds=1.0), False),
        (ValueError("429"), False),
    ],
    ids=lambda value: str(value),
)
def test_what_asks_for_patience(error, asks):
    assert asks_for_patience(error) is asks


def test_a_host_is_left_alone_as_long_as_it_asks():
    patience = Patience(0.0, 0)
    patience.refused(1.0, 2.0, 5.0)
    assert patience.until == 7.0
    patience.refused(1.5, 2.1, 1.0)
    assert patience.until == 7.0, "another that was under way shortens nothing"


def test_a_host_that_names_no_time_is_left_alone_longer_and_longer():
    patience = Patience(0.0, 0)
    now, waits = 0.0, []
    for _ in range(10):
        patience.refused(now, now, None)
        waits.append(patience.until - now)
        now = patience.until + 0.1
    assert waits[0] < waits[1] < waits[2]
    assert waits[-1] == pytest.approx(30.0)
    patience.succeeded()
    patience.refused(now, now, None)
    assert patience.until - now == pytest.approx(waits[0])


def test_refusals_of_what_was_under_way_count_once():
    patience = Patience(0.0, 100)
    patience.refused(9.0, 10.0, None)
    until, rate = patience.until, patience.rate(10.0)
    for number in range(50):
        patience.refused(9.0 + number / 100, 10.0, None)
    assert patience.until == until
    assert patience.rate(10.0) == rate


def test_what_was_let_through_before_a_refusal_and_begins_after_it_is_no_news():
    patience = Patience(0.0, 100)
    patience.refused(9.0, 10.0, 1.0)
    rate = patience.rate(11.0)
    patience.refused(10.1, 10.2, 1.0)
    assert patience.rate(11.2) == rate


def test_nothing_is_known_of_a_host_that_never_granted_anything():
    patience = Patience(0.0, 0)
    patience.refused(0.0, 0.1, 1.0)
    assert patience.rate(2.0) is None


def crawl(server, seconds, *, retry_after, at_once=8, latency=0.005):
    """Go to `server` as a host does with nothing but refusals to go by; give (granted a second, part refused)."""
    pace, state = Pace(1.0), {"patience": None, "granted": 0, "refused": 0}

    def opens(now, flying):
        patience = state["patience"]
        if flying >= at_once:
            return float("inf")
        if patience is None:
            return now
        return max(patience.until, pace.opens if patience.rate(now) else 0.0)

    def answered(now):
        if state["patience"] is not None:
            pace.take(now)
        return now + latency

    def ended(began, now):
        patience = state["patience"]
        if server.grants(now):
            state["granted"] += 1
            if patience is not None:
                patience.succeeded()
        else:
            state["refused"] += 1
            if patience is None:
                patience = state["patience"] = Patience(0.0, state["granted"])
            patience.refused(began, now, retry_after)
        if patience is not None and (rate := patience.rate(now)):
            pace.change(rate)

    Crowd(opens, answered, ended).run(seconds)
    return state["granted"] / seconds, state["refused"] / (state["granted"] + state["refused"])


@pytest.mark.parametrize("retry_after", [1.0, None])
@pytest.mark.parametrize("seconds", [20, 60, 600])
@pytest.mark.parametrize(
    "kind",
    [lambda: Bucket(10, 10), lambda: Bucket(10, 3), lambda: Window(10), lambda: Sliding(10)],
    ids=["bucket", "small", "window", "sliding"],
)
def test_ten_a_second_are_found_from_refusals_alone(kind, seconds, retry_after):
    rate, refused = crawl(kind(), seconds, retry_after=retry_after)
    assert refused <= 0.10
    assert rate >= 8.0


def test_a_host_that_grants_more_later_is_found_out():
    server = Bucket(10, 10)
    slow, _ = crawl(server, 30, retry_after=1.0)
    server = Bucket(10, 10)

    def grants(now, granted=server.grants):
        server.rate = server.size = 10 if now < 30 else 100
        return granted(now)

    server.grants = grants
    rate, refused = crawl(server, 150, retry_after=1.0)
    assert rate > 3 * slow
    assert refused <= 0.10
