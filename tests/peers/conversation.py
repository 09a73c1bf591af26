r"""A conversation as text: pure reading of it, no sockets. One line is one step.

    S: +OK ready                  the server says this line (CRLF is added)
    C: USER alice                 the client must say this line, exactly, ended by CRLF
    C: {tag} LOGIN * *            `*` is anything, `\*` a star; {tag} is a word, remembered for later S: lines
    C: /(?P<tag>\w+) noop/        between slashes: a regular expression for the whole line, groups remembered
    S: {tag} OK                   {name} is what was remembered; {port}, {host} and {address} are the peer's own
    S: BODY[] {{#mail}}           {#mail} is the size of the body named mail, handed to the Script
    dump mail                     sends that body as it is
    send abc\r\n\x00              sends exactly this
    raw \x15\x03                  sends exactly this, under TLS too without encryption
    read 310                      the client must send so many bytes more ({name} allowed)
    until \r\n.\r\n               the client must send bytes that end so
    expect a\r\nb\r\n             the client must send exactly these bytes
    eof                           the client must end its half now
    starttls                      TLS from here on; S: lines right before it go out in one piece with the go-ahead
    wait NAME                     goes on when the test says `peer.release("NAME")`
    pause MS                      a rest; what was said before goes out first
    drip BYTES MS / drip off      from here on the server speaks so many bytes at a time
    silence                       not a word more, until the client leaves
    shut                          the end of the server's half, without close_notify; it still listens
    close                         an orderly end, as after the last step: close_notify, end; the client's is awaited
    cut / reset                   an end without a word: a plain close, or an RST
    garbage BYTES                 bytes without sense, the same ones each time
    endless line [TEXT]           TEXT (or x) again and again without any line end, until the client leaves
    endless reply LINE            the same line again and again, until the client leaves

Blank lines and lines that begin with `#` are ignored, and so is indentation. Consecutive S:, send and dump steps
go out in one piece. Escapes in all texts: \r \n \t \0 \\ \xNN \{; any other backslash, as in \Seen, is itself.
"""

import re
from dataclasses import dataclass

_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", "{": b"{"}
_TOKEN = re.compile(
    r"\\(?P<hex>x[0-9a-fA-F]{2})|\\(?P<escape>.)|\{(?P<name>#?[a-z_]\w*)\}|(?P<star>\*)|(?P<text>.)", re.DOTALL
)

HEARING = frozenset({"C:", "read", "until", "expect", "eof"})
"""The verbs that the client has to fulfil."""

_LAST = frozenset({"silence", "close", "cut", "reset", "endless"})
"""The verbs after which nothing is played."""

_VERBS = HEARING | _LAST | {"S:", "send", "raw", "dump", "starttls", "wait", "pause", "drip", "shut", "garbage"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the verb, its argument as written, and the line it stands in, counted from 1."""

    verb: str
    argument: str
    line: int


def parse(text: str) -> list[Step]:
    """Read a conversation; ValueError names the line that is none of its steps."""
    steps: list[Step] = []
    for number, line in enumerate(text.split("\n"), 1):
        content = line.lstrip()
        if not content or content.startswith("#"):
            continue
        verb, _, argument = content.partition(" ")
        if verb not in _VERBS:
            raise ValueError(f"line {number} of the conversation is no step: {content!r}")
        if verb == "C:":
            pattern(argument)
        else:
            render(argument, None)
        if steps and steps[-1].verb in _LAST:
            raise ValueError(f"line {number} of the conversation stands after its end: {content!r}")
        steps.append(Step(verb, argument, number))
    return steps


def render(text: str, names: dict[str, bytes] | None) -> bytes:
    """The bytes that `text` stands for; without `names` it is only checked, and names stand for themselves."""
    parts = []
    for token in _TOKEN.finditer(text):
        if name := token["name"]:
            if names is not None and name not in names:
                raise ValueError(f"nothing is known by the name {name!r} in {text!r}")
            parts.append(names[name] if names is not None else name.encode())
        else:
            parts.append(_literal(token))
    return b"".join(parts)


def pattern(text: str) -> re.Pattern[bytes]:
    """What a client's line, without its CRLF, must match as a whole."""
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        return re.compile(text[1:-1].encode(), re.DOTALL)
    parts, seen = [], set()
    for token in _TOKEN.finditer(text):
        name = token["name"]
        if name in seen:
            parts.append(b"(?P=%s)" % name.encode())
        elif name and not name.startswith("#"):
            seen.add(name)
            parts.append(b"(?P<%s>\\S+)" % name.encode())
        elif token["escape"] == "*":
            parts.append(rb"\*")
        else:
            parts.append(b".*" if token["star"] else re.escape(_literal(token)))
    return re.compile(b"".join(parts), re.DOTALL)


def _literal(token: re.Match[str]) -> bytes:
    if token["hex"]:
        return bytes([int(token["hex"][1:], 16)])
    return _ESCAPES.get(token["escape"], token[0].encode())
