"""Look into a maildrop: python examples/pop3_fetch.py pop3s://alice@mail.example.org [--delete].

Asks for the password, or takes it from the environment (ASYNCNET_PASSWORD). With --delete the messages go at the end.
"""

import os
import sys

import asyncnet
from asyncnet import Credentials, Endpoint, pop3


async def main(url: str, *, delete: bool = False) -> None:
    """Count, list and retrieve the messages, delete them if that is wanted, and quit."""
    username = Endpoint.parse(url).username
    password = os.environ.get("ASYNCNET_PASSWORD")
    who = Credentials(username, password) if username and password else await Credentials.prompt(username)

    async with pop3.session(url, who, timeout=30.0) as maildrop:
        stat = await maildrop.stat()
        print(f"{stat.count} messages, {stat.size} bytes")
        for number, size in await maildrop.list():
            message = await maildrop.retrieve(number)
            print(f"{number}: {size} bytes, {message.parse()['subject']}")
            if delete:
                await maildrop.delete(number)  # marks it: it goes with quit, and only then
        print("gone for good:", await maildrop.quit())


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--delete"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    asyncnet.run(main(arguments[0], delete="--delete" in sys.argv))
