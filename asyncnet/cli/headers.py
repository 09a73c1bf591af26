"""Headers: the fields that `-H` names, as `NAME: VALUE`, or `@FILE` with such lines, where a secret may stand."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asyncnet import UsageError
from asyncnet.cli.given import given

SECRETS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"})
"""names of fields, in lower case, that belong on no command line"""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # a tab may stand in a field


def header_fields(options: Iterable[str]) -> list[tuple[str, str]]:
    """Read what was given to `-H`, in its order.

    Raises:
        UsageError: no field, a file that cannot be read, or a secret that others could read on the command line.
    """
    fields: list[tuple[str, str]] = []
    for option in options:
        if option.startswith("@"):
            lines = given(option).decode("utf-8", "surrogateescape").splitlines()
            fields += [_field(line, f"a line of {option[1:]}") for line in lines if line.strip()]
            continue
        name, value = _field(option, f"{option!r}")
        if name.lower() in SECRETS:
            raise UsageError(
                f"no secret on the command line, where others can see it: put the line of {name} into a file, and give "
                "-H @FILE; or name the user in the URL, see --help"
            )
        fields.append((name, value))
    return fields


def _field(text: str, shown: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not separator or not name:
        raise UsageError(f"a header field is 'NAME: VALUE', not {shown}")
    if _CONTROL.search(value):
        raise UsageError(f"a control character in the header field {name}")
    return name, value
