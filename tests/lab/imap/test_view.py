"""The view: numbers stay what the client was told, whatever others do meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from asyncnet.lab.imap.view import View
from asyncnet.lab.mailbox import Mailbox
from asyncnet.lab.store import Store


def inbox(count: int = 3) -> Mailbox:
    mailbox = Store().add_account("me", "secret", "me@example.org").inbox
    for _ in range(count):
        mailbox.append(b"x\r\n")
    return mailbox


def news(view: View, *, may_expunge: bool = True, vanished: bool = False) -> list[bytes]:
    return view.news(may_expunge=may_expunge, with_recent=False, with_modseq=False, vanished=vanished)


def test_nothing_new_is_nothing() -> None:
    view = View(inbox(), "me", read_only=False)
    assert news(view) == []
    assert not view.has_news


def test_what_comes_is_counted_and_what_has_gone_keeps_its_number_until_told() -> None:
    mailbox = inbox()
    view = View(mailbox, "me", read_only=False)
    mailbox.append(b"new\r\n")
    mailbox.expunge([2])
    assert view.has_news
    assert news(view, may_expunge=False) == [b"* 4 EXISTS\r\n"]
    assert view.message(2).raw == b"x\r\n"
    assert view.is_gone(2)
    assert view.number(3) == 3
    assert news(view) == [b"* 2 EXPUNGE\r\n"]
    assert view.number(3) == 2
    assert view.chosen("2", by_uid=False) == [3]


def test_expunges_are_told_from_the_end() -> None:
    mailbox = inbox(5)
    view = View(mailbox, "me", read_only=False)
    mailbox.expunge([1, 3, 4])
    assert news(view) == [b"* 4 EXPUNGE\r\n", b"* 3 EXPUNGE\r\n", b"* 1 EXPUNGE\r\n"]
    assert view.uids == [2, 5]


def test_with_qresync_uids_are_told() -> None:
    mailbox = inbox(5)
    view = View(mailbox, "me", read_only=False)
    mailbox.expunge([1, 3, 4])
    assert news(view, vanished=True) == [b"* VANISHED 1,3:4\r\n"]


def test_what_came_and_went_untold_never_was() -> None:
    mailbox = inbox()
    view = View(mailbox, "me", read_only=False)
    mailbox.expunge([mailbox.append(b"brief\r\n").uid])
    assert news(view) == []


def test_flags_of_others_are_told_and_ones_own_are_not() -> None:
    mailbox = inbox()
    view = View(mailbox, "me", read_only=False)
    view.recent.clear()
    mailbox.set_flags([2], ["\\Seen"], "add", source="another")
    mailbox.set_flags([1], ["\\Seen"], "add", source="me")
    assert news(view) == [b"* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n"]


def test_a_new_keyword_is_announced() -> None:
    mailbox = inbox(1)
    view = View(mailbox, "me", read_only=False)
    view.recent.clear()
    mailbox.set_flags([1], ["$New"], "add")
    assert news(view) == [
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $New)\r\n* 1 FETCH (UID 1 FLAGS ($New))\r\n"
    ]


def test_who_opens_first_has_the_recent_ones() -> None:
    mailbox = inbox(2)
    looking = View(mailbox, "one", read_only=True)
    first = View(mailbox, "two", read_only=False)
    second = View(mailbox, "three", read_only=False)
    assert looking.recent == {1, 2}
    assert first.recent == {1, 2}
    assert second.recent == set()


def test_what_has_gone_is_not_recent_any_more() -> None:
    mailbox = inbox(2)
    view = View(mailbox, "me", read_only=False)
    mailbox.expunge([1])
    news(view)
    assert view.counts() == b"* 1 EXISTS\r\n* 1 RECENT\r\n"


def test_a_closed_view_hears_nothing() -> None:
    mailbox = inbox()
    view = View(mailbox, "me", read_only=False)
    view.close()
    mailbox.append(b"x\r\n")
    assert not view.has_news


_STEPS = st.lists(
    st.one_of(
        st.just(("append", 0)),
        st.tuples(st.just("expunge"), st.integers(1, 12)),
        st.tuples(st.just("flag"), st.integers(1, 12)),
        st.just(("told", 0)),
        st.just(("told all", 0)),
    ),
    max_size=40,
)


@given(_STEPS)
def test_a_client_that_follows_the_news_knows_the_mailbox(steps: list[tuple[str, int]]) -> None:
    mailbox = inbox(4)
    view = View(mailbox, "me", read_only=False)
    known = list(view.uids)  # as a client keeps it: by number only, UIDs asked for when EXISTS grows
    for step, uid in [*steps, ("told all", 0)]:
        if step == "append":
            mailbox.append(b"x\r\n")
        elif step == "expunge":
            mailbox.expunge([uid])
        elif step == "flag":
            mailbox.set_flags([uid], [f"k{uid}"], "add")
        else:
            for line in b"".join(news(view, may_expunge=step == "told all")).splitlines():
                words = line.split()
                if words[2] == b"EXPUNGE":
                    del known[int(words[1]) - 1]
                elif words[2] == b"EXISTS":
                    assert int(words[1]) >= len(known)
                    known += view.uids[len(known) :]
                elif words[2] == b"FETCH":
                    assert known[int(words[1]) - 1] == int(words[4])
    assert known == mailbox.uids
