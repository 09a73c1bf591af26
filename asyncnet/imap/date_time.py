"""Dates of the grammar: `17-Jul-1996 02:44:25 -0700` (RFC 9051 §9: date-time, date), both ways."""

from __future__ import annotations

import functools
import re
from datetime import date, datetime, timedelta, timezone

from asyncnet.errors import ProtocolError, UsageError

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = {name.encode().lower(): number for number, name in enumerate(_MONTHS, start=1)}
# The day with a blank or a zero before it, or with neither
_DATE_TIME = re.compile(rb" ?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-]\d{4})")


def parsed_date_time(text: bytes) -> datetime:
    """Read what a server wrote, without its quotes.

    Raises:
        ProtocolError: it is no date.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ProtocolError("something else in the place of a date")
    day, month, year, hour, minute, second, zone = match.groups()
    try:
        return datetime(int(year), _number(month), int(day), int(hour), int(minute), int(second), 0, _zone(zone))
    except (ValueError, KeyError) as error:
        raise ProtocolError("a date that there is not") from error


def written_date_time(moment: datetime) -> str:
    """Write a moment, quotes included; one without a zone is local time."""
    aware = moment if moment.tzinfo is not None else moment.astimezone()
    offset = aware.utcoffset()
    minutes = 0 if offset is None else round(offset.total_seconds() / 60)
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    day = f"{aware.day:2}-{_MONTHS[aware.month - 1]}-{aware.year:04}"
    return f'"{day} {aware.hour:02}:{aware.minute:02}:{aware.second:02} {zone}"'


def written_day(day: date) -> str:
    """Write a day, `1-Jan-2026`; of a datetime its own day, whatever its zone.

    Raises:
        UsageError: it is no date.
    """
    if not isinstance(day, date):
        raise UsageError(f"not a date: {day!r}")
    return f"{day.day}-{_MONTHS[day.month - 1]}-{day.year:04}"


@functools.lru_cache(maxsize=64)
def _zone(text: bytes) -> timezone:
    east = timedelta(hours=int(text[1:3]), minutes=int(text[3:]))
    return timezone(-east if text.startswith(b"-") else east)


@functools.lru_cache(maxsize=128)
def _number(month: bytes) -> int:
    return _NUMBERS[month.lower()]
