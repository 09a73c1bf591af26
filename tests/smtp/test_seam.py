"""The seam to aiosmtplib: what we rely on is there in the installed version, and it relies on nothing else of ours."""

import inspect
import re

import aiosmtplib
import pytest

from asyncnet import Endpoint
from asyncnet.smtp.exchange import Exchange, client_over


def test_the_client_uses_of_its_protocol_what_the_exchange_has() -> None:
    used = set(re.findall(r"self\.protocol\.(\w+)", inspect.getsource(aiosmtplib.SMTP)))
    assert used == {"is_connected", "transport", "execute_command", "start_tls", "execute_data_command"}
    ours = {name for name in dir(Exchange) if not name.startswith("_")} | {"transport"}
    assert used - ours == {"execute_data_command"}  # of `data` and `sendmail`, which we do not call


@pytest.mark.parametrize("name", ["execute_command", "start_tls"])
def test_the_client_can_call_them_as_it_calls_its_own(name: str) -> None:
    from aiosmtplib.protocol import SMTPProtocol

    theirs = inspect.signature(getattr(SMTPProtocol, name)).parameters
    ours = inspect.signature(getattr(Exchange, name)).parameters
    assert [(p.name, p.kind) for p in theirs.values()] == [(p.name, p.kind) for p in ours.values()]


async def test_a_client_can_be_made_over_a_connection_that_stands() -> None:
    exchange = Exchange(Endpoint.parse("smtp://example.org"))
    client = client_over(exchange, hostname="example.org", local_hostname="[127.0.0.1]")
    assert client.protocol is exchange  # type: ignore[comparison-overlap]
    assert client.timeout is None
    assert not client.is_connected
    assert client.esmtp_extensions == {}
    assert client.server_auth_methods == []


@pytest.mark.parametrize("name", ["ehlo", "helo", "starttls", "noop", "rset", "quit", "execute_command"])
def test_the_commands_we_call_are_there(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(aiosmtplib.SMTP, name))


def test_the_errors_we_translate_are_kin_as_the_table_has_them() -> None:
    assert issubclass(aiosmtplib.SMTPHeloError, aiosmtplib.SMTPResponseException)
    assert issubclass(aiosmtplib.SMTPResponseException, aiosmtplib.SMTPException)
    assert issubclass(aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPException)
    assert aiosmtplib.SMTPResponse._fields == ("code", "message")
