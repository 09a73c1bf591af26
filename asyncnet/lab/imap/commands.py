"""Commands: which there are, who does them, and when they may be given (RFC 9051 §6)."""

from __future__ import annotations

from asyncnet.lab.imap import appending, changing, entering, fetch, idling, listing, mailboxes, opening, searching
from asyncnet.lab.imap.session import ANY, SELECTED, SIGNED_IN, STRANGER, Entry

TABLE = {
    "CAPABILITY": Entry(entering.capability, ANY),
    "NOOP": Entry(entering.noop, ANY),
    "LOGOUT": Entry(entering.logout, ANY),
    "ID": Entry(entering.identify, ANY, "ID"),
    "STARTTLS": Entry(entering.starttls, STRANGER),
    "LOGIN": Entry(entering.login, STRANGER),
    "AUTHENTICATE": Entry(entering.authenticate, STRANGER),
    "ENABLE": Entry(opening.enable, SIGNED_IN, "ENABLE"),
    "SELECT": Entry(opening.select, SIGNED_IN),
    "EXAMINE": Entry(opening.examine, SIGNED_IN),
    "UNSELECT": Entry(opening.unselect, SELECTED, "UNSELECT"),
    "CLOSE": Entry(opening.close, SELECTED),
    "CHECK": Entry(opening.check, SELECTED),
    "NAMESPACE": Entry(listing.namespace, SIGNED_IN, "NAMESPACE"),
    "LIST": Entry(listing.list_, SIGNED_IN),
    "LSUB": Entry(listing.lsub, SIGNED_IN),
    "STATUS": Entry(listing.status, SIGNED_IN),
    "CREATE": Entry(mailboxes.create, SIGNED_IN),
    "DELETE": Entry(mailboxes.delete, SIGNED_IN),
    "RENAME": Entry(mailboxes.rename, SIGNED_IN),
    "SUBSCRIBE": Entry(mailboxes.subscribe, SIGNED_IN),
    "UNSUBSCRIBE": Entry(mailboxes.unsubscribe, SIGNED_IN),
    "APPEND": Entry(appending.append, SIGNED_IN),
    "IDLE": Entry(idling.idle, SIGNED_IN, "IDLE"),
    # No message may lose its number while these are answered (RFC 3501 §7.4.1); by UID, none of them is named by it.
    "FETCH": Entry(fetch.fetch, SELECTED, may_expunge=False),
    "SEARCH": Entry(searching.search, SELECTED, may_expunge=False),
    "STORE": Entry(changing.store, SELECTED, may_expunge=False),
    "UID FETCH": Entry(fetch.fetch, SELECTED),
    "UID SEARCH": Entry(searching.search, SELECTED),
    "UID STORE": Entry(changing.store, SELECTED),
    "COPY": Entry(changing.copy, SELECTED),
    "UID COPY": Entry(changing.copy, SELECTED),
    "MOVE": Entry(changing.move, SELECTED, "MOVE"),
    "UID MOVE": Entry(changing.move, SELECTED, "MOVE"),
    "EXPUNGE": Entry(changing.expunge, SELECTED),
    "UID EXPUNGE": Entry(changing.uid_expunge, SELECTED, "UIDPLUS"),
}
