"""smtp: send a message in one call, hold a session and send many, or a pool, or an outbox. On aiosmtplib."""

from asyncnet.smtp.bulk import Sent
from asyncnet.smtp.compose import compose
from asyncnet.smtp.mail import Mail
from asyncnet.smtp.oneshot import send
from asyncnet.smtp.outbox import Outbox, Spooled, outbox
from asyncnet.smtp.pool import Pool, pool
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import Session, session
from asyncnet.smtp.unknown import receipt_of

__all__ = [
    "Mail",
    "Outbox",
    "Pool",
    "Receipt",
    "Reply",
    "Sent",
    "Session",
    "Spooled",
    "compose",
    "outbox",
    "pool",
    "receipt_of",
    "send",
    "session",
]
