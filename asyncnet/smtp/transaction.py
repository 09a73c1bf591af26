"""One mail transaction: MAIL, RCPT for each recipient, DATA (RFC 5321 §3.3), and what each reply means for whom."""

from __future__ import annotations

from collections.abc import Mapping

from asyncnet.deadline import deadline, phase
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import NetError, RecipientsRefused, RefusedError
from asyncnet.smtp import address
from asyncnet.smtp.content import Content, Measure, content_of, headers_need_utf8
from asyncnet.smtp.envelope import Envelope
from asyncnet.smtp.exchange import Exchange
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.reply import GOODBYE, Reply, refusal

_GO_AHEAD = 354
_TOO_BIG = 552


class Transaction:
    """A message and its envelope, on their way over one connection.

    Args:
        exchange: the connection, no transaction begun on it.
        extensions: what the server offers, in upper case, each with its parameters.
        endpoint: for the errors.
    """

    def __init__(self, exchange: Exchange, extensions: Mapping[str, str], endpoint: Endpoint) -> None:
        self._exchange = exchange
        self._extensions = extensions
        self._endpoint = endpoint

    async def send(self, message: object, envelope: Envelope) -> Receipt:
        """Have the message sent to all whom the server accepts.

        Raises:
            RecipientsRefused: the server accepts nobody.
            RefusedError: it refuses the sender or the message, or cannot take such a message at all.
            DisconnectedError, ProtocolError: as in `Exchange`.

        After a refusal the connection is as before: RSET was sent if need be, and if that failed, it was dropped.
        """
        utf8 = envelope.needs_utf8 or headers_need_utf8(message)
        if utf8 and "SMTPUTF8" not in self._extensions:
            text = "an address is not ASCII, and the server has no SMTPUTF8"
            raise RefusedError(text, endpoint=self._endpoint, operation="send")
        content = await content_of(message, utf8=utf8, eight_bit="8BITMIME" in self._extensions)
        measure = await content.measure()
        self._check_size(measure.octets)
        try:
            await self._command("MAIL", self._mail(envelope.sender, measure, utf8=utf8))
            accepted, refused = await self._recipients(envelope.recipients, utf8=utf8)
            return await self._data(content, accepted, refused)
        except RefusedError:
            await self._reset()
            raise

    def _check_size(self, octets: int) -> None:
        # RFC 1870 §6.1: a client that knows the limit need not have the message refused. 0 is no limit (§4).
        limit = self._extensions.get("SIZE", "")
        if limit.isascii() and limit.isdigit() and len(limit) < 20 and 0 < int(limit) < octets:
            raise RefusedError(
                f"a message of {octets} octets; the server takes {int(limit)}",
                code=_TOO_BIG,
                endpoint=self._endpoint,
                operation="send",
            )

    def _mail(self, sender: str, measure: Measure, *, utf8: bool) -> bytes:
        line = b"MAIL FROM:<" + (address.on_the_wire(sender, utf8=utf8) if sender else b"") + b">"
        if "SIZE" in self._extensions:
            line += b" SIZE=%d" % measure.octets
        if "8BITMIME" in self._extensions and not measure.is_ascii:
            line += b" BODY=8BITMIME"
        return line + b" SMTPUTF8" if utf8 else line

    async def _recipients(self, recipients: tuple[str, ...], *, utf8: bool) -> tuple[tuple[str, ...], dict[str, Reply]]:
        accepted: list[str] = []
        refused: dict[str, Reply] = {}
        phase("RCPT")
        for one in recipients:
            reply = await self._exchange.command(b"RCPT TO:<" + address.on_the_wire(one, utf8=utf8) + b">", "RCPT")
            if reply.is_positive:
                accepted.append(one)
            elif reply.is_negative and reply.code != GOODBYE:
                refused[one] = reply
            else:
                raise refusal(reply, self._endpoint, "RCPT")
        if not accepted:
            raise RecipientsRefused(refused=refused, endpoint=self._endpoint, operation="RCPT")
        return tuple(accepted), refused

    async def _data(self, content: Content, accepted: tuple[str, ...], refused: dict[str, Reply]) -> Receipt:
        await self._command("DATA", b"DATA", wanted=_GO_AHEAD)
        reply = await self._exchange.message(content.chunks())
        if not reply.is_positive:
            raise refusal(reply, self._endpoint, "DATA")
        return Receipt(accepted, refused, reply.code, reply.text, content.message_id)

    async def _command(self, verb: str, line: bytes, *, wanted: int | None = None) -> None:
        phase(verb)
        reply = await self._exchange.command(line, verb)
        if reply.code != wanted and (wanted is not None or not reply.is_positive):
            raise refusal(reply, self._endpoint, verb)

    async def _reset(self) -> None:
        if not self._exchange.is_usable:
            return
        try:
            async with deadline(CLOSE_SECONDS, self._endpoint, "RSET"):
                reply = await self._exchange.command(b"RSET", "RSET")
        except NetError:
            pass
        else:
            if reply.is_positive:
                return
        self._exchange.abort()  # the refusal is what counts; the connection is of no more use
