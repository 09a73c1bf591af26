"""pymap: an IMAP server in Python, one user, whose mail lies in its memory."""

import importlib.util
import sys

from tests.real.daemon import Daemon, Missing


class Pymap(Daemon):
    """pymap in a process of its own; `ports`: imap, with STARTTLS offered. `me` may sign in, with `secret`."""

    name = "pymap"
    port_names = ("imap",)

    @property
    def imap(self) -> str:
        """imap://: plaintext, STARTTLS offered."""
        return f"imap://{self.host}:{self.ports['imap']}"

    @property
    def imap_starttls(self) -> str:
        """imap+starttls://: TLS after STARTTLS, at the same port."""
        return f"imap+starttls://{self.host}:{self.ports['imap']}"

    def configure(self) -> None:
        """All of it stands in the command."""
        if importlib.util.find_spec("pymap") is None:
            raise Missing("pymap is not installed here: pip install pymap")

    @property
    def command(self) -> list[str]:
        """pymap in the foreground."""
        files = ["--cert", str(self.folder / "server.pem"), "--key", str(self.folder / "server.key")]
        place = ["--host", self.host, "--port", str(self.ports["imap"])]
        start = "import sys; from pymap.main import main; sys.exit(main())"
        user = ["dict", "--demo-user", "me", "--demo-password", "secret"]
        return [sys.executable, "-W", "ignore", "-c", start, *place, *files, *user]

    def wait_until_ready(self) -> None:
        """Wait for its greeting."""
        super().wait_until_ready()
        self.wait_for(lambda: self.greets(self.ports["imap"], b"* OK "))
