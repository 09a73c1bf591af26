"""ClientLog: a flood of faults fills no log."""

import logging

import pytest

from asyncnet.streams.log import ClientLog

LOGGER = logging.getLogger("tests.streams.log")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.INFO, LOGGER.name)
    return Clock()


def test_one_line_a_second_of_each_kind_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    log = ClientLog(LOGGER, clock)
    for number in range(1000):
        log.info("a", f"fault {number}")
        log.info("b", f"other {number}")
    assert [record.getMessage() for record in caplog.records] == ["fault 0", "other 0"]
    clock.now += 1.0
    log.info("a", "again")
    log.info("a", "and again")
    assert caplog.records[-1].getMessage() == "again (999 more like it were not logged)"
    clock.now += 60.0
    log.info("a", "later")
    assert caplog.records[-1].getMessage() == "later (1 more like it were not logged)"
    assert len(caplog.records) == 4


def test_the_first_line_is_written_whatever_the_clock_says(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    for now in (0.0, -5.0, 1e9):
        clock.now = now
        ClientLog(LOGGER, clock).info("a", f"at {now}")
    assert [record.getMessage() for record in caplog.records] == ["at 0.0", "at -5.0", "at 1000000000.0"]


def test_what_is_held_back_of_one_kind_holds_back_no_other(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    log = ClientLog(LOGGER, clock)
    for kind in ("a", "b", "a", "b", "c"):
        log.info(kind, kind)
    log.failure("d", "d", ValueError())
    assert [record.getMessage() for record in caplog.records] == ["a", "b", "c", "d"]


def test_a_failure_has_its_traceback(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    log = ClientLog(LOGGER, clock)
    for _ in range(3):
        log.failure("ValueError", "the handler failed", ValueError("on purpose"))
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "on purpose" in caplog.text


def test_what_a_client_wrote_cannot_forge_lines(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    ClientLog(LOGGER, clock).info("kind", "client said\r\nroot logged in\x1b[2J" + "x" * 10_000)
    message = caplog.records[0].getMessage()
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 1000


def test_endless_kinds_take_no_endless_memory(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    log = ClientLog(LOGGER, clock)
    for number in range(10_000):
        log.info(f"kind {number}", "fault")
    assert len(log._kinds) < 100
    assert len(caplog.records) < 100
