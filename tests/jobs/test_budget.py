"""Budget: how much trying again a host is worth."""

import pytest

from asyncnet.errors import UsageError
from asyncnet.jobs.budget import Budget


def test_a_host_has_ten_retries_and_a_part_of_its_jobs():
    budget = Budget(0.25)
    assert [budget.spend("a") for _ in range(12)] == [True] * 10 + [False] * 2
    for _ in range(40):
        budget.earn("a")
    assert [budget.spend("a") for _ in range(12)] == [True] * 10 + [False] * 2
    for _ in range(5):
        budget.earn("a")
    assert [budget.spend("a") for _ in range(2)] == [True, False]


def test_one_host_does_not_spend_what_another_has():
    budget = Budget(0.0)
    while budget.spend("a"):
        pass
    assert budget.spend("b")
    assert budget.spend(None)


def test_a_million_hosts_take_bounded_room():
    budget = Budget(0.2)
    for number in range(30_000):
        budget.earn(f"host{number}")
    assert len(budget._left) == 10_000


@pytest.mark.parametrize("wrong", [-0.1, float("nan")])
def test_a_part_is_not_negative(wrong):
    with pytest.raises(UsageError):
        Budget(wrong)
