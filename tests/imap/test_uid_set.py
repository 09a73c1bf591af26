"""UID sets: many numbers in few characters, and never memory for numbers that nobody looks at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.errors import ProtocolError, UsageError
from asyncnet.imap.uid_set import MAX_UID, UidSet, checked_uids, written_sets

UIDS = st.lists(st.integers(1, MAX_UID))


def test_sets_are_read_as_servers_write_them() -> None:
    assert list(UidSet.parse(b"2,4:7,9,12:12")) == [2, 4, 5, 6, 7, 9, 12]
    assert list(UidSet.parse(b"7:4")) == [4, 5, 6, 7]
    assert UidSet.parse(b"1:4294967295").count == MAX_UID
    assert UidSet().count == 0


@pytest.mark.parametrize("text", [b"", b"0", b"1:", b":1", b"1,", b",1", b"*", b"1:*", b"a", b"1 2", b"1:2:3", b"01",
                                  b"4294967296", b"99999999999", b"1:9999999999", b"\xb2"])  # fmt: skip
def test_what_is_no_set_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        UidSet.parse(text)


@given(UIDS)
def test_written_sets_hold_what_was_given_and_fit_into_a_line(uids: list[int]) -> None:
    written = list(written_sets(uids))
    assert [uid for text, _ in written for uid in UidSet.parse(text.encode())] == uids
    assert [UidSet.parse(text.encode()).count for text, _ in written] == [count for _, count in written]


def test_neighbours_become_ranges_and_long_sets_are_parted() -> None:
    assert list(written_sets(range(1, 100_001))) == [("1:100000", 100_000)]
    assert list(written_sets([])) == []
    parted = list(written_sets(range(1, 100_001, 2)))
    assert max(len(text) for text, _ in parted) < 7100
    assert sum(count for _, count in parted) == 50_000


def test_uids_of_a_call_are_checked() -> None:
    assert checked_uids(7) == [7]
    assert checked_uids(range(1, 4)) == [1, 2, 3]
    for wrong in (0, -1, MAX_UID + 1, [], [1, 0], True, "7", [1.0]):
        with pytest.raises(UsageError):
            checked_uids(wrong)  # type: ignore[arg-type]
