"""Read a mailbox: python examples/imap_fetch.py imaps://alice@mail.example.org/INBOX [--delete].

Asks for the password, or takes it from the environment (ASYNCNET_PASSWORD). With --delete the messages go at the end.
"""

import os
import sys

import asyncnet
from asyncnet import Credentials, Endpoint, imap


async def main(url: str, *, delete: bool = False) -> None:
    r"""Select, search for all, fetch each, flag them as \Deleted and expunge if that is wanted, close, log out."""
    endpoint = Endpoint.parse(url)
    password = os.environ.get("ASYNCNET_PASSWORD")
    name = endpoint.username
    who = Credentials(name, password) if name and password else await Credentials.prompt(name)

    async with imap.session(endpoint, who, timeout=30.0) as session:  # leaving it logs out
        # Read-only, closing expunges nothing: somebody else may have flagged messages as deleted.
        mailbox = await session.select(endpoint.decoded_path or "INBOX", read_only=not delete)
        print(f"{mailbox.name}: {mailbox.exists} messages")
        uids = await session.search("ALL")
        for uid in uids:
            message = await session.fetch(uid)
            print(f"{uid}: {message.size} bytes, {message.parse()['subject']}")
        if delete and uids:
            await session.store(uids, add={r"\Deleted"})
            print("gone for good:", await session.expunge())
        await session.close()


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--delete"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    asyncnet.run(main(arguments[0], delete="--delete" in sys.argv))
