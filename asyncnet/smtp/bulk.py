"""Bulk: many messages over one connection, several of them on their way at once, each with an outcome of its own."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from email.message import EmailMessage

from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, DisconnectedError, NetError, RefusedError, UsageError
from asyncnet.smtp.exchange import Exchange
from asyncnet.smtp.mail import Mail
from asyncnet.smtp.offers import Offers
from asyncnet.smtp.parcel import pack
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.transaction import Transaction
from asyncnet.smtp.unknown import mark_unknown, receipt_of
from asyncnet.translation import Translations, translated

_HELD_BYTES = 65_536
"""Bytes of small messages that are collected before they are written, if nothing has to be waited for."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one message of many.

    Args:
        number: which, counted from 0.
        mail: the message as it was given.
        receipt: what the server said, if it took the message; beside an error with `outcome_unknown`: what is known.
        error: why it was not taken, or why nobody knows; None if it was.
    """

    number: int
    mail: Mail
    receipt: Receipt | None
    error: NetError | None = None

    @property
    def ok(self) -> bool:
        """Whether the server took it, if not for everybody."""
        return self.error is None


@dataclass(slots=True)
class _Flight:
    number: int
    mail: Mail
    transaction: Transaction | None = None
    error: NetError | None = None


class Bulk:
    """Sends messages over a connection that it has for itself.

    Args:
        exchange: the connection.
        offers: what the server can do.
        endpoint: for the errors.
        window: how many messages may be without their answer.
        timeout: seconds for each step of each message, or None.
        translations: which foreign exceptions become which of ours.
    """

    def __init__(
        self,
        exchange: Exchange,
        offers: Offers,
        endpoint: Endpoint,
        window: int,
        timeout: float | None,
        translations: Translations,
    ) -> None:
        self._exchange = exchange
        self._offers = offers
        self._endpoint = endpoint
        self._window = window if offers.pipelining else 1
        self._timeout = timeout
        self._translations = translations
        self._flights: deque[_Flight] = deque()
        self._is_tainted = False
        self._last: Transaction | None = None

    @property
    def is_spoilt(self) -> bool:
        """Whether the connection is of no more use: it is lost, or something is on its way."""
        return bool(self._flights) or not self._exchange.is_usable

    async def outcomes(
        self, messages: Iterable[Mail | EmailMessage] | AsyncIterable[Mail | EmailMessage]
    ) -> AsyncGenerator[Sent, None]:
        """Send, and give what became of each, in order."""
        number = 0
        async with aclosing(_each(messages)) as each:
            async for message in each:
                flight = _Flight(number, Mail.of(message))
                number += 1
                self._flights.append(flight)
                await self._begin(flight)
                while len(self._flights) >= self._window:
                    yield await self._next_outcome()
        while self._flights:
            yield await self._next_outcome()
        if self._is_tainted and self._last is not None:
            await self._last.reset()

    async def _begin(self, flight: _Flight) -> None:
        if not self._exchange.is_usable:
            flight.error = DisconnectedError(
                "not sent: the connection was lost before", endpoint=self._endpoint, operation="send"
            )
            return
        after_another = self._is_tainted or any(one.transaction is not None for one in self._flights)
        try:
            envelope = flight.mail.envelope()
            wishes = flight.mail.wishes(envelope)
            async with deadline(self._timeout, self._endpoint, "send"):
                with translated(self._translations, self._endpoint, "send"):
                    parcel = await pack(flight.mail, envelope, wishes, self._offers, self._endpoint)
                    flight.transaction = Transaction(self._exchange, self._offers, self._endpoint, parcel)
                    self._last, self._is_tainted = flight.transaction, False
                    await flight.transaction.begin(after_another=after_another)
                    if self._exchange.held_bytes > _HELD_BYTES:
                        await self._exchange.flow()
        except NetError as error:
            self._failed(flight, error)

    async def _next_outcome(self) -> Sent:
        flight = self._flights[0]
        receipt = None
        if flight.error is None:
            assert flight.transaction is not None
            try:
                async with deadline(self._timeout, self._endpoint, "send"):
                    with translated(self._translations, self._endpoint, "send"):
                        receipt = await flight.transaction.end()
            except NetError as error:
                self._failed(flight, error)
        self._flights.popleft()
        if flight.error is not None and flight.transaction is not None:
            mark_unknown(flight.error, flight.transaction.unknown)
            receipt = receipt_of(flight.error)
        return Sent(flight.number, flight.mail, receipt, flight.error)

    def _failed(self, flight: _Flight, error: NetError) -> None:
        # One lost connection is the error of each that was on its way, and each has its own outcome.
        if isinstance(error, ClosedError):  # by the failure of another
            error = DisconnectedError(
                "the connection was dropped before the answer", endpoint=self._endpoint, operation="send"
            )
        flight.error = copy.copy(error)
        flight.error.__cause__ = error.__cause__
        if flight.transaction is None:
            return
        if isinstance(error, (RefusedError, UsageError)):
            self._is_tainted = True
        else:
            self._exchange.abort()


async def _each(
    messages: Iterable[Mail | EmailMessage] | AsyncIterable[Mail | EmailMessage],
) -> AsyncGenerator[Mail | EmailMessage, None]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
