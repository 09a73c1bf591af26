"""`python -m asyncnet` is the command `asyncnet`."""

import sys

from asyncnet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
