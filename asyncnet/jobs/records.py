"""Records: outcomes as values for JSON. Pure.

What was fetched is told apart by what it has: an answer of http by its status, mail by being a list of Message.
"""

from __future__ import annotations

import binascii
import json
import json.encoder
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from asyncnet.errors import NetError, printable
from asyncnet.jobs.job import Outcome
from asyncnet.message import Message


def record(outcome: Outcome[Any], files: list[str] | None = None) -> dict[str, Any]:
    """Give an outcome as a value for JSON.

    Args:
        outcome: of any job. `url` is its name, which for a fetch is the URL.
        files: where the body, or each message, was saved; None puts them into the record, as `text` where they are
            UTF-8, else as `base64`.

    What is neither fetched nor a value of JSON's own is given as its `repr`.
    """
    made: dict[str, Any] = {"url": outcome.name, "ok": outcome.error is None, "attempts": outcome.attempts}
    made["seconds"] = round(outcome.seconds, 6)
    if outcome.error is not None:
        made["error"] = error_record(outcome.error)
        return made
    value: Any = outcome.value
    if value is None or isinstance(value, str | int | float | dict):
        made["value"] = value
        return made
    path = files[0] if files else None
    if isinstance(value, bytes):
        made["bytes"] = len(value)
        return made | content(value, path)
    if is_mail(value):
        paths = files if files is not None else [None] * len(value)
        made["messages"] = [_message(message, file) for message, file in zip(value, paths, strict=True)]
        return made
    if is_response(value):
        return made | response_record(value, path)
    made["value"] = value
    return made


def is_response(value: Any) -> bool:
    """Whether it is an answer of http, by what it has."""
    return hasattr(value, "status") and hasattr(value, "body")


def is_mail(value: Any) -> bool:
    """Whether it is the messages of a mailbox."""
    return isinstance(value, list) and (not value or isinstance(value[0], Message))


def response_record(response: Any, file: str | None = None) -> dict[str, Any]:
    """Give an http response as a value for JSON; its body too, unless it was saved as `file`."""
    return {
        "status": response.status,
        "reason": response.reason,
        "final_url": response.url,
        "headers": [[name, value] for name, value in response.headers.items()],
        "bytes": len(response.body),
    } | content(response.body, file)


def error_record(error: BaseException) -> dict[str, Any]:
    """Give an error as a value for JSON: `type`, `message`, and of a NetError `transient`, `code`, `retry_after`."""
    made: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, NetError):
        made["transient"] = error.transient
        made |= {key: value for key in ("code", "retry_after") if (value := getattr(error, key, None)) is not None}
        if error.outcome_unknown:
            made["outcome_unknown"] = True
    return made


def _message(message: Message, file: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {"uid": message.uid, "bytes": len(message.raw), "flags": sorted(message.flags)}
    if message.received is not None:
        made["received"] = message.received.isoformat()
    return made | content(message.raw, file)


def content(data: bytes, file: str | None = None) -> dict[str, str]:
    """Give bytes as `text` where they are UTF-8, else as `base64`; or only say in which `file` they are."""
    if file is not None:
        return {"file": file}
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": binascii.b2a_base64(data, newline=False).decode("ascii")}


def _other(value: object) -> str:
    return printable(repr(value))


def _encoder() -> Callable[[Any], str]:
    """Make what writes JSON. The one in C, made once: `JSONEncoder.encode` makes another for each value."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(separators=(",", ":"), default=_other, skipkeys=True).encode
    chunks = make(None, _other, json.encoder.encode_basestring_ascii, None, ":", ",", False, True, True)
    return lambda value: "".join(chunks(value, 0))


_encode = _encoder()


def json_line(made: dict[str, Any]) -> str:
    """Give a record as one line of ASCII, which is safe on any terminal and in any encoding."""
    return _encode(made) + "\n"


def line(outcome: Outcome[Any], files: list[str] | None = None) -> bytes:
    """Give the `json_line` of the `record` of an outcome; that of a plain value, or of an answer, in half the time."""
    value: Any = outcome.value
    if outcome.error is not None:
        return json_line(record(outcome, files)).encode("ascii")
    if value is None:
        told = '"value":null'
    elif type(value) is int:
        told = f'"value":{value}'
    elif isinstance(value, str):
        told = f'"value":{_quoted(value)}'
    elif is_response(value):
        told = _told(value, files[0] if files else None)
    else:
        return json_line(record(outcome, files)).encode("ascii")
    head = f'{{"url":{_quoted(outcome.name)},"ok":true,"attempts":{outcome.attempts}'
    return f'{head},"seconds":{round(outcome.seconds, 6)!r},{told}}}\n'.encode("ascii")


def _told(response: Any, file: str | None) -> str:
    """Give the `response_record` of an answer as the inside of an object of JSON."""
    headers = ",".join([f"[{_quoted(name)},{_quoted(value)}]" for name, value in response.headers.items()])
    ((kind, body),) = content(response.body, file).items()
    shown = f'"{body}"' if kind == "base64" else _quoted(body)  # of base64 nothing is to be escaped
    return (
        f'"status":{response.status},"reason":{_quoted(response.reason)},"final_url":{_quoted(response.url)},'
        f'"headers":[{headers}],"bytes":{len(response.body)},"{kind}":{shown}'
    )


def weight(value: Any) -> int:
    """How many bytes a fetched value holds; 0 for what was not fetched."""
    if isinstance(value, bytes):
        return len(value)
    if is_mail(value):
        return sum(len(message.raw) for message in value)
    return len(value.body) if is_response(value) else 0
