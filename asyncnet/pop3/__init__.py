"""pop3: fetch a whole maildrop in one call, or hold a session with it. On poplib, in threads of its own."""

from asyncnet.pop3.messages import Messages
from asyncnet.pop3.oneshot import fetch
from asyncnet.pop3.reply import Listing, Stat
from asyncnet.pop3.seen import SeenFile
from asyncnet.pop3.session import Session, session
from asyncnet.pop3.take import Seen, Taking

__all__ = ["Listing", "Messages", "Seen", "SeenFile", "Session", "Stat", "Taking", "fetch", "session"]
