"""post: one HTTP POST: a form, JSON, or any body."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from asyncnet import Endpoint, StatusError, UsageError, jobs
from asyncnet.cli import text
from asyncnet.cli.given import given
from asyncnet.cli.headers import header_fields
from asyncnet.cli.login import Login
from asyncnet.cli.loop import completed
from asyncnet.cli.options import SIZE, header_option, network_options, parsed, said_options, secret_options, trust
from asyncnet.cli.output import Printer
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import DONE, FAILED, LATER

if TYPE_CHECKING:
    from asyncnet import http


@click.command()
@click.argument("url")
@click.option("--form", multiple=True, metavar="NAME=VALUE", help="A field of a form; may be given again and again.")
@click.option("--json", "json_text", metavar="TEXT|@FILE", help="JSON, as text or from a file (@- is standard input).")
@click.option("--body", metavar="TEXT|@FILE", help="Any body, as text or from a file (@- is standard input).")
@header_option
@click.option(
    "--output",
    type=click.Choice(["json", "body"]),
    help="What to print: a JSON line, or the body alone.  [default: the body on a terminal, else json]",
)
@click.option("--max-bytes", type=SIZE, default="64MiB", show_default=True, help="The longest answer.")
@network_options
@secret_options
@said_options
def post(url: str, output: str | None, quiet: bool, verbose: int, **options: Any) -> int:
    """Send a POST and print the answer.

    Nothing is sent twice, whatever goes wrong. A secret belongs into no argument, for others can see the command line:
    name the user in the URL (https://alice@example.org/) or by --username, and hand the secret over as for
    `asyncnet fetch`; or put the line of its header field into a file, and give -H @FILE.

    Exit status: 0 the status is below 400, 1 it is not, 3 it is one that says "later", such as 503.
    """
    endpoint = parsed(url, "http")
    headers = header_fields(options["headers"])
    request = _body(options["form"], options["json_text"], options["body"], headers)
    screen = Screen(quiet=quiet, verbose=verbose)
    with screen.logs():
        response = completed(_posted(endpoint, request, options, screen))
    if output == "body" or (output is None and sys.stdout.isatty()):
        screen.say(text.shown(f"{response.status} {response.reason}"))
        Printer().write(response.body)
    else:
        Printer().write(jobs.json_line({"url": url, "ok": response.ok} | jobs.response_record(response)))
    try:
        response.raise_for_status()
    except StatusError as error:
        screen.tell(error, url)
        return LATER if error.transient else FAILED
    return DONE


async def _posted(
    endpoint: Endpoint, request: dict[str, Any], options: dict[str, Any], screen: Screen
) -> http.Response:
    from asyncnet import http  # with aiohttp under it, which no other command should wait for

    login = Login(options["username"], options["password_command"], options["token_command"], asking=screen.asking)
    return await http.post(
        endpoint,
        await login.credentials(endpoint),
        max_bytes=options["max_bytes"],
        tls=trust(options["ca"]),
        timeout=options["timeout"],
        proxy=options["proxy"],
        allow_plaintext_login=options["allow_plaintext_login"],
        **request,
    )


def _body(
    form: tuple[str, ...], json_text: str | None, body: str | None, headers: list[tuple[str, str]]
) -> dict[str, Any]:
    """Give headers and body as the arguments of `http.post`."""
    if sum((bool(form), json_text is not None, body is not None)) > 1:
        raise UsageError("--form, --json and --body: one of them")
    if form:
        return {"headers": headers, "form": [_pair(field) for field in form]}
    if json_text is not None:
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers = [*headers, ("Content-Type", "application/json")]
        return {"headers": headers, "body": _json(given(json_text))}
    return {"headers": headers, "body": b"" if body is None else given(body)}


def _pair(field: str) -> tuple[str, str]:
    name, separator, value = field.partition("=")
    if not separator:
        raise UsageError(f"a field of a form is NAME=VALUE, not {field!r}")
    return name, value


def _json(data: bytes) -> bytes:
    """Give the bytes as they are, once they are known to be JSON."""
    try:
        json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"what --json gives is no JSON: {error}") from None
    return data
