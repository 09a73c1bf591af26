"""Replies: what workers tell comes home, and what cannot be read there is the failure of its own job."""

import copyreg
import pickle
import random
import sys
from types import ModuleType, TracebackType

import pytest

from asyncnet import AllFailed, ConnectError, LimitError, NetError, ProtocolError, UsageError, jobs
from asyncnet.jobs.reply import Reply, Sealed, bare, fit, heard, heard_error, told, told_error
from tests.jobs.travelling import SECRET


def test_a_value_that_is_too_big_does_not_come_home():
    outcome = fit(jobs.Outcome("x", b"12345", None, 2), 4)
    assert isinstance(outcome.error, LimitError)
    assert outcome.error.limit == 4
    assert (outcome.value, outcome.attempts) == (None, 2)
    assert fit(jobs.Outcome("x", b"1234"), 4).value == b"1234"


def test_a_reply_comes_home_whole_though_one_value_cannot():
    error = NetError("no", endpoint="https://a.example", transient=True)
    ended = [(1, jobs.Outcome("a", 1)), (2, jobs.Outcome("b", lambda: None)), (3, jobs.Outcome("c", None, error))]
    reply = heard(told(Reply(ended, [(3, error, 0.5)])))
    values = dict(reply.ended)
    assert values[1].value == 1
    assert isinstance(values[2].error, UsageError)
    assert (values[3].error.transient, values[3].error.endpoint) == (True, "https://a.example")


def there(*outcomes, troubles=()):
    """How outcomes arrive at home."""
    reply = heard(told(Reply(list(enumerate(outcomes)), list(troubles))))
    return [outcome for _, outcome in reply.ended]


def test_a_foreign_error_that_cannot_travel_becomes_one_of_ours():
    class Local(Exception):
        pass

    class Passing(NetError):
        _transient = True

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    made = [jobs.Outcome("x", None, error) for error in (Local("why"), KeyError("why"), Passing("why"), Mute())]
    local, known, passing, mute = (outcome.error for outcome in there(*made))
    assert (type(local), str(local), local.transient) == (NetError, "Local: why", False)
    assert isinstance(known, KeyError)
    assert (type(passing), passing.transient) == (NetError, True)
    assert str(mute) == "Mute: ?"


@pytest.fixture
def elsewhere():
    """A module that only the worker has; gives its error class and a class of values, and takes it away by itself."""
    module = ModuleType("only_at_the_worker")
    exec(
        "class Odd(Exception):\n    def __init__(self, a, b): super().__init__(f'{a}\\x1b[2J{b}')\nclass Thing: pass\n",
        vars(module),
    )
    sys.modules[module.__name__] = module
    yield module
    sys.modules.pop(module.__name__, None)


def test_what_is_of_a_module_that_is_not_at_home_fails_alone_and_is_named(elsewhere):
    ended = [
        (1, jobs.Outcome("a", None, elsewhere.Odd("x" * 5000, "b"), 3)),
        (2, jobs.Outcome("b", elsewhere.Thing())),
        (3, jobs.Outcome("c", {"deep": [elsewhere.Thing()]})),
        (4, jobs.Outcome("d", 4)),
    ]
    data = told(Reply(ended, [(1, elsewhere.Odd("a", "b"), 0.5)], 7))
    del sys.modules[elsewhere.__name__]
    reply = heard(data)
    home = dict(reply.ended)
    assert (type(home[1].error), home[1].attempts) == (NetError, 3)
    assert str(home[1].error).startswith("Odd: xxx")
    assert len(str(home[1].error)) < 500
    assert isinstance(home[2].error, UsageError)
    assert "Thing" in str(home[2].error)
    assert "only_at_the_worker" in str(home[3].error)
    assert (home[2].value, home[3].value, home[4].value) == (None, None, 4)
    ((number, trouble, delay),) = reply.troubles
    assert (number, str(trouble), delay) == (1, "Odd: a\\x1b[2Jb", 0.5)
    assert reply.held == 7


def test_an_error_that_cannot_be_made_anew_is_one_of_ours(elsewhere):
    (outcome,) = there(jobs.Outcome("a", None, elsewhere.Odd("a", "b")))  # made of one argument, it takes two
    assert (type(outcome.error), str(outcome.error)) == (NetError, "Odd: a\\x1b[2Jb")


class Evil:
    """What raises as it is unpacked."""

    def __reduce__(self):
        return _raising, ()


def _raising():
    raise ZeroDivisionError("evil")


class Bare(jobs.Outcome):
    """An outcome without its fields."""

    def __reduce__(self):
        return object.__new__, (jobs.Outcome,)


@pytest.mark.parametrize(
    "odd",
    [
        None, 7, "x", (), Bare("x"), jobs.Outcome("x", None, "no error"), jobs.Outcome("x", None, ValueError("bare")),
        jobs.Outcome("x", attempts="3"), jobs.Outcome("x", attempts=-1), jobs.Outcome("x", seconds=float("nan")),
        jobs.Outcome("x", seconds=None), jobs.Outcome("x", received_bytes=1.5),
        jobs.Outcome("x", Sealed(b"garbage", "x\x1b")), jobs.Outcome("x", Sealed(None, None)),
        jobs.Outcome("x", Sealed(pickle.dumps(Evil()), "x")),
        jobs.Outcome("x", None, Sealed(pickle.dumps(7), "x")), jobs.Outcome("x", None, Sealed(pickle.dumps(Evil()), 7)),
        jobs.Outcome("x", None, Sealed(pickle.dumps(KeyboardInterrupt()), "x", transient="yes")),
    ],
)  # fmt: skip
def test_an_odd_outcome_is_the_failure_of_its_job_alone(odd):
    home = dict(heard(bare(([(1, odd), (2, jobs.Outcome("y", 2))], [], 0))).ended)
    assert isinstance(home[1].error, NetError)
    assert home[1].error.transient is False
    assert str(home[1].error).isprintable()
    assert home[2].value == 2


@pytest.mark.parametrize(
    "odd",
    [
        7, (), (1,), ("1", jobs.Outcome("y")), (1, Sealed(b"", "x"), float("nan")), (1, Sealed(b"", "x"), -1),
        (1, "x", 1.0), ([], Sealed(b"", "x"), 1.0), (1, ValueError("x"), 1.0),
    ],
)  # fmt: skip
def test_an_odd_entry_is_left_out(odd):
    reply = heard(bare(([odd], [odd], 0)))
    assert (reply.ended, reply.troubles) == ([], [])


@pytest.mark.parametrize(
    "data",
    [
        None, 7, b"", b"garbage", b"\x80\x05.", pickle.dumps(7), pickle.dumps((1, 2, 3)), pickle.dumps(([], [], "x")),
        pickle.dumps(([], [], float("inf"))), pickle.dumps(([], [])), pickle.dumps(Evil()), pickle.dumps((7, [], 0)),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_a_protocol_error(data):
    with pytest.raises(ProtocolError, match="no reply"):
        heard(data)


def test_whatever_bytes_come_home_only_a_protocol_error_leaves():
    whole = told(Reply([(1, jobs.Outcome("a", b"x")), (2, jobs.Outcome("b", None, ConnectError("no")))], [], 3))
    lot = random.Random(7)
    for _ in range(2000):
        torn = bytearray(whole[: lot.randrange(1, len(whole) + 1)])
        for _ in range(lot.randrange(3)):
            # None of pickle's two opcodes that take memory for a table of any length.
            torn[lot.randrange(len(torn))] = lot.choice([byte for byte in range(256) if byte not in b"rp"])
        try:
            reply = heard(bytes(torn))
        except ProtocolError:
            continue
        assert all(isinstance(outcome, jobs.Outcome) for _, outcome in reply.ended)


def test_the_error_of_a_worker_comes_home_whatever_it_is(elsewhere):
    assert isinstance(heard_error(told_error(ConnectError("no"))), ConnectError)
    data = told_error(elsewhere.Odd("a", "b"))
    del sys.modules[elsewhere.__name__]
    assert str(heard_error(data)) == "Odd: a\\x1b[2Jb"
    for odd in (None, b"", b"garbage", pickle.dumps(7), pickle.dumps(Evil()), pickle.dumps(ValueError("x"))):
        assert isinstance(heard_error(odd), ProtocolError)


class Held(Exception):
    """An error that holds what cannot be packed."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.held = lambda: told


def _failed(cause: Exception) -> NetError:
    """An error of ours as an adapter raises it, with what led to it."""
    try:
        try:
            raise cause
        except type(cause) as error:
            raise ConnectError("refused", transient=True) from error
    except ConnectError as error:
        return error


@pytest.fixture
def tblib(monkeypatch):
    """Errors are packed as they are at a worker, where Dask has installed these picklers."""
    support = pytest.importorskip("tblib.pickling_support")
    monkeypatch.setitem(copyreg.dispatch_table, TracebackType, support.pickle_traceback)
    for kind in (ConnectError, AllFailed, NetError, ValueError, Held):
        monkeypatch.setitem(copyreg.dispatch_table, kind, support.pickle_exception)


def test_what_led_to_an_error_does_not_travel(tblib):
    error = _failed(ValueError(SECRET))
    assert SECRET.encode() in pickle.dumps(error), "the picklers are there"
    foreign = ValueError("why")
    foreign.__context__ = ValueError(SECRET)
    ended = [jobs.Outcome("x", None, one) for one in (error, AllFailed(errors=[error]), foreign)]
    data = told(Reply(list(enumerate(ended)), [(0, error, 0.5)]))
    assert SECRET.encode() not in data
    home = [outcome.error for _, outcome in heard(data).ended]
    assert [type(one) for one in home] == [ConnectError, AllFailed, ValueError]
    assert (home[0].transient, str(home[0])) == (True, "refused")
    assert all(one.__cause__ is one.__context__ is one.__traceback__ is None for one in home)


def test_a_cause_that_cannot_be_packed_changes_no_error(tblib):
    (outcome,) = there(jobs.Outcome("x", None, _failed(Held("why"))))
    assert (type(outcome.error), str(outcome.error)) == (ConnectError, "refused")


@pytest.mark.parametrize(("field", "count"), [("attempts", 0), ("attempts", 1 << 70), ("received_bytes", 1 << 70)])
def test_counts_that_no_worker_can_have_are_the_failure_of_the_job(field, count):
    (outcome,) = there(jobs.Outcome("a", 1, **{field: count}))
    assert isinstance(outcome.error, ProtocolError)
