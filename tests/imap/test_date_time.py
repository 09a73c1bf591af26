"""Dates as IMAP writes them, both ways."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.errors import ProtocolError
from asyncnet.imap.date_time import parsed_date_time, written_date_time

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def test_dates_are_written_as_the_rfc_says() -> None:
    west = timezone(timedelta(hours=-7, minutes=-30))
    assert written_date_time(datetime(1996, 7, 7, 2, 44, 25, 999, tzinfo=west)) == '" 7-Jul-1996 02:44:25 -0730"'
    assert written_date_time(datetime(2026, 12, 31, tzinfo=UTC)) == '"31-Dec-2026 00:00:00 +0000"'
    assert written_date_time(datetime(2026, 1, 1)).startswith('" 1-Jan-2026 00:00:00 ')


@given(st.datetimes(timezones=ZONES))
def test_every_moment_comes_back_to_the_second(moment: datetime) -> None:
    assert parsed_date_time(written_date_time(moment)[1:-1].encode()) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [b"", b"31-Feb-2024 00:00:00 +0000", b"01-Xxx-2024 00:00:00 +0000", b"01-Jan-2024 24:00:00 +0000",
     b"01-Jan-2024 00:00:60 +0000", b"01-Jan-0000 00:00:00 +0000", b"01-Jan-2024 00:00:00 +9999",
     b"01-Jan-2024 00:00:00", b"\xb21-Jan-2024 00:00:00 +0000", b"01-Jan-2024 00:00:00 +0000 "],
)  # fmt: skip
def test_what_is_no_date_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        parsed_date_time(text)
