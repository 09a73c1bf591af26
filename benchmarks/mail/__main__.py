"""`python -m benchmarks.mail pop3|smtp|imap ...`: one benchmark; `--help` after it says more."""

import importlib
import sys

PROTOCOLS = ("pop3", "smtp", "imap")


def main() -> int:
    """Hand over to the protocol's own file: its `main(arguments)` gives the exit status."""
    if len(sys.argv) < 2 or sys.argv[1] not in PROTOCOLS:
        print(f"usage: python -m benchmarks.mail {'|'.join(PROTOCOLS)} [...]", file=sys.stderr)
        return 2
    module = importlib.import_module(f"benchmarks.mail.{sys.argv[1]}")
    status: int = module.main(sys.argv[2:])
    return status


if __name__ == "__main__":
    sys.exit(main())
