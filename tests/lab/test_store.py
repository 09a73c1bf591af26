"""The memory behind the servers: UIDs, flags, mod-sequences, hierarchy, bounds and who hears of what."""

import pytest

from asyncnet import UsageError
from asyncnet.lab import Account, Change, MailboxExists, NoMailbox, OverQuota, Store
from asyncnet.lab.mailbox import MAX_KEYWORDS_OF_ONE


@pytest.fixture
def account() -> Account:
    return Store().add_account("me", "secret", "me@example.org")


def test_an_account_begins_with_the_usual_mailboxes(account: Account) -> None:
    uses = {mailbox.name: mailbox.special_use for mailbox in account.mailboxes}
    assert uses == {
        "INBOX": None,
        "Archive": "\\Archive",
        "Drafts": "\\Drafts",
        "Junk": "\\Junk",
        "Sent": "\\Sent",
        "Trash": "\\Trash",
    }
    assert account.subscriptions == set(uses)
    assert account.mailboxes[0] is account.inbox


def test_inbox_is_inbox_in_any_case_and_other_names_are_not(account: Account) -> None:
    assert account.mailbox("inBox") is account.inbox
    with pytest.raises(NoMailbox):
        account.mailbox("sent")


def test_uids_grow_and_are_never_given_twice(account: Account) -> None:
    inbox = account.inbox
    assert [inbox.append(b"x").uid for _ in range(3)] == [1, 2, 3]
    assert inbox.expunge([3]) == [3]
    assert inbox.append(b"x").uid == 4
    inbox.clear()
    assert (inbox.append(b"x").uid, inbox.uid_next, inbox.uids) == (5, 6, [5])


def test_each_change_gets_the_next_mod_sequence(account: Account) -> None:
    inbox = account.inbox
    assert inbox.highest_modseq == 1
    first, second = inbox.append(b"1"), inbox.append(b"2")
    assert (first.modseq, second.modseq) == (2, 3)
    [changed] = inbox.set_flags([1, 99], {"\\Seen"}, "add")
    assert (changed.uid, changed.flags, changed.modseq) == (1, {"\\Seen"}, 4)
    assert first.flags == frozenset()  # who held it holds what it was
    assert inbox.set_flags([1], {"\\Seen"}, "add") == []  # no change, no mod-sequence
    inbox.expunge([2])
    assert inbox.highest_modseq == 5
    assert (inbox.expunged_since(4), inbox.expunged_since(5)) == ([2], [])


@pytest.mark.parametrize(
    ("how", "after"),
    [("replace", {"b", "c"}), ("add", {"a", "b", "c"}), ("remove", {"a"})],
)
def test_flags_are_replaced_added_and_removed(account: Account, how, after: set[str]) -> None:
    account.inbox.append(b"x", {"a", "b"})
    account.inbox.set_flags([1], {"b", "c"}, how)
    assert account.inbox.messages[0].flags == after


def test_expunge_without_uids_removes_what_is_deleted(account: Account) -> None:
    for flags in ((), {"\\Deleted"}, {"\\Seen", "\\Deleted"}):
        account.inbox.append(b"x", flags)
    assert account.inbox.expunge() == [2, 3]
    assert account.inbox.uids == [1]


def test_a_copy_keeps_flags_and_date_and_gets_a_new_uid(account: Account) -> None:
    inbox, archive = account.inbox, account.mailbox("Archive")
    archive.append(b"other")
    original = inbox.append(b"x", {"\\Seen"})
    assert inbox.copy([1, 7], archive) == {1: 2}
    copy = archive.get(2)
    assert copy is not None
    assert (copy.raw, copy.flags, copy.received, copy.memo) == (b"x", {"\\Seen"}, original.received, {})
    assert copy.memo is original.memo
    assert inbox.uids == [1]


def test_a_move_leaves_nothing_behind(account: Account) -> None:
    inbox, archive = account.inbox, account.mailbox("Archive")
    for raw in (b"1", b"2", b"3"):
        inbox.append(raw)
    assert inbox.move([1, 3], archive) == {1: 1, 3: 2}
    assert (inbox.uids, [message.raw for message in archive]) == ([2], [b"1", b"3"])


def test_recent_is_for_the_first_who_asks(account: Account) -> None:
    account.inbox.append(b"x")
    assert account.inbox.recent == {1}
    assert account.inbox.claim_recent() == {1}
    assert account.inbox.claim_recent() == frozenset()


def test_who_listens_hears_each_change_in_order_and_its_source(account: Account) -> None:
    heard: list[Change] = []
    everywhere: list[Change] = []
    stop = account.inbox.listen(heard.append)
    account.store.listen(everywhere.append)
    me = object()
    account.inbox.append(b"x", source=me)
    account.inbox.set_flags([1], {"\\Seen"})
    account.inbox.expunge([1], source=me)
    account.mailbox("Sent").append(b"y")
    assert [(change.kind, change.message.uid, change.source is me) for change in heard] == [
        ("append", 1, True),
        ("flags", 1, False),
        ("expunge", 1, True),
    ]
    assert [change.modseq for change in heard] == [2, 3, 4]
    assert everywhere[:3] == heard
    assert everywhere[3].mailbox.name == "Sent"
    stop()
    stop()
    account.inbox.append(b"z")
    assert len(heard) == 3


def test_the_bound_is_kept_and_what_went_makes_room() -> None:
    store = Store(max_bytes=10, max_messages=3)
    inbox = store.add_account("me", "secret").inbox
    inbox.append(b"12345678")
    with pytest.raises(OverQuota) as caught:
        inbox.append(b"123")
    assert (caught.value.limit, caught.value.transient) == (10, True)
    assert (inbox.uids, inbox.uid_next, inbox.highest_modseq, store.size_bytes, store.count) == ([1], 2, 2, 8, 1)
    inbox.append(b"")
    inbox.append(b"")
    with pytest.raises(OverQuota):
        inbox.append(b"")
    inbox.clear()
    assert (store.size_bytes, store.count) == (0, 0)
    inbox.append(b"1234567890")


def test_a_copy_that_does_not_fit_as_a_whole_is_not_begun(account: Account) -> None:
    account.store.max_messages = 5
    for _ in range(3):
        account.inbox.append(b"x")
    with pytest.raises(OverQuota):
        account.inbox.copy([1, 2, 3], account.mailbox("Sent"))
    assert len(account.mailbox("Sent")) == 0
    assert account.inbox.move([1, 2, 3], account.mailbox("Sent")) == {1: 1, 2: 2, 3: 3}  # a move needs no room


def test_a_message_and_a_mailbox_have_so_many_keywords_and_no_more(account: Account) -> None:
    inbox, sent = account.inbox, account.mailbox("Sent")
    for at in range(10):
        inbox.append(b"x", [f"k{at}-{number}" for number in range(MAX_KEYWORDS_OF_ONE)])
    sent.append(b"x", ["other"])
    before, modseq = inbox.messages, inbox.highest_modseq
    for change in (
        lambda: inbox.append(b"x", ["one more"]),
        lambda: inbox.set_flags([1, 2], ["one more"], "replace"),
        lambda: inbox.set_flags([1, 2], ["k3-1"], "add"),
        lambda: sent.move([1], inbox),
        lambda: sent.copy([1], inbox),
    ):
        with pytest.raises(OverQuota):
            change()
    assert (inbox.messages, inbox.highest_modseq, sent.uids) == (before, modseq, [1]), "and nothing has changed"
    assert len(inbox.set_flags([1, 1, 2], ["\\Seen"], "add")) == 2
    assert len(inbox.set_flags([1], ["k3-1"], "replace")) == 1
    assert len(inbox.set_flags([2], ["k1-0"], "remove")) == 1
    assert sent.move([1, 1], account.mailbox("Trash")) == {1: 1}


def test_names_subscribed_to_are_bounded(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.lab.store._MAX_MAILBOXES", len(account.subscriptions) + 1)
    account.subscribe("a")
    account.subscribe("a")
    with pytest.raises(OverQuota):
        account.subscribe("b")
    account.unsubscribe("a")
    account.subscribe("b")


@pytest.mark.parametrize("name", ["", "a\nb", "\x00", "x" * 1001])
def test_a_username_is_printable_text(name: str) -> None:
    with pytest.raises(UsageError, match="username"):
        Store().add_account(name, "secret")


def test_a_mailbox_made_again_has_another_uid_validity(account: Account) -> None:
    made = account.create("Work/2024/May/")
    assert {"Work", "Work/2024", "Work/2024/May"} <= {mailbox.name for mailbox in account}
    account.delete("Work/2024/May")
    assert "Work/2024/May" not in account
    assert account.create("Work/2024/May").uid_validity > made.uid_validity
    account.delete("Work")
    assert "Work/2024" in account  # those below stay


def test_rename_takes_along_what_is_below(account: Account) -> None:
    kept = account.create("a/b/c")
    kept.append(b"x")
    account.create("ab")
    account.rename("a", "new/a")
    names = {mailbox.name for mailbox in account} - {"INBOX", "Sent", "Drafts", "Trash", "Junk", "Archive"}
    assert names == {"new", "new/a", "new/a/b", "new/a/b/c", "ab"}
    assert account.mailbox("new/a/b/c") is kept
    assert kept.name == "new/a/b/c"


def test_rename_makes_no_name_too_long_of_what_is_below(account: Account) -> None:
    account.create("a/" + "b" * 900)
    with pytest.raises(UsageError, match="1000 characters"):
        account.rename("a", "c" * 200)
    assert "a/" + "b" * 900 in account
    assert "c" * 200 not in account


def test_rename_of_inbox_moves_its_messages(account: Account) -> None:
    account.inbox.append(b"x")
    account.rename("INBOX", "old mail")
    assert (len(account.inbox), account.mailbox("old mail").messages[0].raw) == (0, b"x")


def test_names_that_cannot_be_are_refused(account: Account) -> None:
    account.create("a/b")
    account.create("c/b")
    for wrong in ("", "/", "a//b", "/a", "x*", "%", "a\nb", "x" * 1001):
        with pytest.raises(UsageError):
            account.create(wrong)
    with pytest.raises(MailboxExists):
        account.create("Sent")
    with pytest.raises(MailboxExists):
        account.rename("a", "c")
    with pytest.raises(UsageError, match="below itself"):
        account.rename("a", "a/b/c")
    with pytest.raises(UsageError, match="INBOX"):
        account.delete("inbox")
    with pytest.raises(NoMailbox):
        account.rename("nothing", "x")
    assert {"a", "a/b", "c", "c/b"} <= {mailbox.name for mailbox in account}


def test_addresses_are_found_in_any_case_and_with_a_tag() -> None:
    store = Store()
    me = store.add_account("me", "secret", "me@example.org", "also@example.org")
    for address in ("me@example.org", "ME@EXAMPLE.ORG", "me+tag@example.org", "also@example.org"):
        assert store.account_for(address) is me
    for address in ("me", "me@example.com", "@example.org", "", "+tag@example.org"):
        assert store.account_for(address) is None
    with pytest.raises(UsageError, match="already"):
        store.add_account("other", "secret", "Me@example.org")
    with pytest.raises(UsageError, match="already"):
        store.add_account("me", "secret")
    assert "secret" not in repr(me)
