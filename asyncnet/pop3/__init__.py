"""pop3: fetch a whole maildrop in one call, or hold a session with it. On poplib, in threads of its own."""

from asyncnet.pop3.oneshot import fetch
from asyncnet.pop3.reply import Listing, Stat
from asyncnet.pop3.session import Session, session

__all__ = ["Listing", "Session", "Stat", "fetch", "session"]
