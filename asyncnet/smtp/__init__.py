"""smtp: send a message in one call, or hold a session and send many. On aiosmtplib."""

from asyncnet.smtp.oneshot import send
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import Session, session

__all__ = ["Receipt", "Reply", "Session", "send", "session"]
