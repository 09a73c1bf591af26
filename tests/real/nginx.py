"""nginx: http and https, with files whose content is known and whose hashes can be asked for."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.peers.certificates import Authority
from tests.real import nginx_config
from tests.real.daemon import Daemon, own, program, unprivileged

KIB = 1024
MIB = 1024 * KIB
_BLOCK = MIB


class Nginx(Daemon):
    """nginx as an ordinary user (as `nobody` if we are root).

    `ports`: http and https, with the same content; see `nginx_config` for the places: /files/, /slow/ (64 KiB/s),
    /private/ (Basic: alice, "secret of alice"), /upload/ (PUT, DELETE), /redirect/…, /status/…, /seen (what the
    server saw, as text), /cookie, and /echo (the body back; only if `echoes`).
    """

    name = "nginx"
    port_names = ("http", "https")

    def __init__(self, authority: Authority | None = None) -> None:
        super().__init__(authority)
        self.echoes = False
        self._hashes: dict[str, str] = {}

    @property
    def http(self) -> str:
        """http://host:port, without a slash at its end."""
        return f"http://{self.host}:{self.ports['http']}"

    @property
    def https(self) -> str:
        """https://host:port, without a slash at its end."""
        return f"https://{self.host}:{self.ports['https']}"

    @property
    def requests(self) -> list[str]:
        """The access log, a line for each request that has ended; it may come a moment after the answer."""
        return (self.folder / "access.log").read_text().splitlines()

    def file(self, size: int) -> str:
        """The path, for a URL, of a file of `size` bytes without pattern; made when first asked for."""
        return self._place(f"{size}.bin", _noise, size)

    def text(self, size: int) -> str:
        """The path, for a URL, of a text of `size` bytes, which is sent in gzip to those that take it."""
        return self._place(f"{size}.txt", _prose, size)

    def sha256(self, path: str) -> str:
        """The hash, in hex, of what lies at this path of a URL."""
        if path not in self._hashes:
            with open(self.on_disk(path), "rb") as file:
                self._hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._hashes[path]

    def on_disk(self, path: str) -> Path:
        """The file that the server sends for this path of a URL, or has written there."""
        return self.folder / "site" / path.removeprefix("/")

    def configure(self) -> None:
        """Write the configuration and the empty site."""
        self._program = program("nginx", "nginx-light")
        self.echoes = nginx_config.write(self.folder, self.ports)
        self._hashes.clear()

    @property
    def command(self) -> list[str]:
        """nginx in the foreground."""
        return [self._program, "-p", str(self.folder), "-c", "nginx.conf", "-e", str(self.folder / "error.log")]

    @property
    def user(self) -> str | None:
        """Nobody, if we are root."""
        return unprivileged().pw_name if os.geteuid() == 0 else None

    def wait_until_ready(self) -> None:
        """Wait for its number in a file, which it writes once all its ports are its own."""
        file = self.folder / "nginx.pid"
        self.wait_for(lambda: file.exists() and bool(file.read_text()))

    def _place(self, name: str, make: Callable[[int], bytes], size: int) -> str:
        path = self.folder / "site" / "files" / name
        if not path.exists():
            with open(path, "wb") as file:
                for number, start in enumerate(range(0, size, _BLOCK)):
                    file.write(make(number)[: size - start])
            if self.user:
                own(path, self.user)
        return f"/files/{name}"


def _noise(number: int) -> bytes:
    return random.Random(number).randbytes(_BLOCK)


def _prose(number: int) -> bytes:
    words = random.Random(number)
    lines = (
        f"after {words.getrandbits(16)} comes {words.getrandbits(16)}, and nobody knew\n" for _ in range(_BLOCK // 40)
    )
    return "".join(lines).encode().ljust(_BLOCK, b"\n")[:_BLOCK]
