"""Frozen values made quickly are the same as those made in the usual way."""

import dataclasses
import pickle
from datetime import UTC, datetime

import pytest

from asyncnet.imap.envelope import Envelope
from asyncnet.imap.quick_value import maker
from asyncnet.imap.response import Fetched
from asyncnet.message import Message

VALUES = [
    Fetched(1, 2, frozenset({"\\Seen"}), 3, datetime.now(UTC), Envelope(), None, 4, {"BODY[]": b"x"}, {}, ("X",)),
    Envelope("date", "subject", message_id="<x>"),
    Message(b"raw", 1, 2, frozenset(), 3, None),
]


@pytest.mark.parametrize("usual", VALUES, ids=lambda value: type(value).__name__)
def test_a_quick_value_is_like_a_usual_one(usual: object) -> None:
    names = [one.name for one in dataclasses.fields(usual)]  # type: ignore[arg-type]
    quick = maker(type(usual))(*[getattr(usual, name) for name in names])
    assert type(quick) is type(usual)
    assert quick == usual
    assert repr(quick) == repr(usual)
    assert pickle.loads(pickle.dumps(quick)) == usual
    assert dataclasses.replace(quick) == usual  # type: ignore[type-var]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(quick, names[0], None)
    with pytest.raises(TypeError):
        maker(type(usual))(1)
