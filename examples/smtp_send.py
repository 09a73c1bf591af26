"""Send a mail: python examples/smtp_send.py smtp+starttls://alice@mail.example.org SENDER RECIPIENT... [< text].

The text comes from the standard input. Asks for the password of the name in the URL, or takes it from the environment
(ASYNCNET_PASSWORD); without a name in the URL nobody signs in.
"""

import os
import sys
from email.message import EmailMessage

import asyncnet
from asyncnet import Credentials, Endpoint, smtp


async def main(url: str, sender: str, recipients: list[str], text: str) -> None:
    """Send the text to everybody, and say who was refused."""
    username = Endpoint.parse(url).username
    password = os.environ.get("ASYNCNET_PASSWORD")
    who = None
    if username:
        who = Credentials(username, password) if password else await Credentials.prompt(username)

    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = "Hello from asyncnet"
    message.set_content(text)

    receipt = await smtp.send(message, url, who, timeout=30.0)
    print(f"accepted for {', '.join(receipt.accepted)}: {receipt.text}")
    for recipient, reply in receipt.refused.items():
        print(f"refused for {recipient}: {reply}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    text = "Good morning.\n" if sys.stdin.isatty() else sys.stdin.read()
    asyncnet.run(main(sys.argv[1], sys.argv[2], sys.argv[3:], text))
