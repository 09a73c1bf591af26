"""Moments and days of the grammar (RFC 9051 §9: date-time, date), both ways. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

from asyncnet.lab.imap.refusal import Bad

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = {name.upper(): number for number, name in enumerate(_MONTHS, start=1)}
_MOMENT = re.compile(r"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII)
_DAY = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})", re.ASCII)


def written(moment: datetime) -> str:
    """Write a moment, without quotes; one without a zone is UTC."""
    offset = moment.utcoffset() or timedelta()
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    day = f"{moment.day:2}-{_MONTHS[moment.month - 1]}-{moment.year:04}"
    return f"{day} {moment.hour:02}:{moment.minute:02}:{moment.second:02} {zone}"


def parsed(text: bytes) -> datetime:
    """Read a moment.

    Raises:
        Bad: it is none.
    """
    match = _MOMENT.fullmatch(text.decode("ascii", "replace"))
    if match is None:
        raise Bad("not a date and time")
    day, month, year, hour, minute, second, sign, east, minutes = match.groups()
    try:
        offset = timedelta(hours=int(east), minutes=int(minutes))
        zone = timezone(-offset if sign == "-" else offset)
        number = _NUMBERS[month.upper()]
        return datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=zone)
    except (ValueError, KeyError, OverflowError):
        raise Bad("a date that there is not") from None


def parsed_day(text: bytes) -> date:
    """Read a day: `1-Jan-2026`.

    Raises:
        Bad: it is none.
    """
    match = _DAY.fullmatch(text.decode("ascii", "replace"))
    if match is None:
        raise Bad("not a date")
    try:
        return date(int(match[3]), _NUMBERS[match[2].upper()], int(match[1]))
    except (ValueError, KeyError):
        raise Bad("a date that there is not") from None
