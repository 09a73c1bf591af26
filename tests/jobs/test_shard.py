"""Shards: a host is one worker's, limits are shared out, and what is lost is done again where it may be."""

import pytest

from asyncnet import jobs
from asyncnet.jobs.lease import packed
from asyncnet.jobs.rates import Rate
from asyncnet.jobs.shard import MAX_LOSSES, Item, Shard, lost, shard_of, shares
from asyncnet.jobs.station import Terms

TERMS = Terms(64, 8, Rate(100.0, 5.0, 1e6, 1e5), 1000, None, None, 100, 1024, None, None)


def item(index: int, *, repeatable: bool = True) -> Item:
    job = jobs.fetch("https://a.example/") if repeatable else jobs.post("https://a.example/", body="x")
    return Item(index, job, packed(job))


@pytest.mark.parametrize("number", [1, 2, 3, 7, 64])
def test_limits_are_shared_out_and_add_up(number):
    made = shares(TERMS, number)
    assert len(made) == number
    assert sum(one.limit for one in made) == 64
    assert sum(one.rate.requests for one in made) == pytest.approx(100)
    assert sum(one.rate.max_bytes for one in made) == pytest.approx(1e6)
    assert {(one.per_host, one.rate.per_host, one.rate.max_bytes_per_host) for one in made} == {(8, 5.0, 1e5)}


def test_there_are_no_more_shards_than_the_limit_allows():
    made = shares(Terms(3, None, Rate(), 2, None, None, 100, 1, None, None), 10)
    assert [(one.limit, one.max_parked) for one in made] == [(1, 1)] * 3


def test_a_host_has_one_shard_and_hosts_have_all_of_them():
    assert len({shard_of("a.example", at, 8) for at in range(100)}) == 1
    assert {shard_of(f"{at}.example", 0, 8) for at in range(200)} == set(range(8))
    assert [shard_of(None, at, 2) for at in range(4)] == [0, 1, 0, 1]


def test_no_more_is_leased_than_keeps_a_station_at_work():
    shard = Shard(TERMS)
    shard.waiting.extend(item(at) for at in range(500))
    assert [one.index for one in shard.lease()] == list(range(264))
    assert shard.lease() == []
    del shard.leased[7]
    assert [one.index for one in shard.lease()] == [264]


def test_a_lost_worker_gives_back_what_may_be_done_again_in_order():
    shard = Shard(TERMS, worker="there", who="w", station="s")
    shard.waiting.extend([item(1), item(2, repeatable=False), item(3)])
    shard.lease()
    shard.waiting.append(item(4))
    gone = shard.lose()
    assert [one.index for one in gone] == [2]
    assert [one.index for one in shard.waiting] == [1, 3, 4]
    assert not shard.worker
    outcome = lost(gone[0])
    assert outcome.error.outcome_unknown
    assert not outcome.error.transient


def test_what_kills_worker_after_worker_is_given_up():
    shard = Shard(TERMS)
    shard.waiting.append(item(1))
    for _ in range(MAX_LOSSES - 1):
        shard.lease()
        assert shard.lose() == []
    shard.lease()
    (gone,) = shard.lose()
    assert not lost(gone).error.outcome_unknown
    assert "3 workers" in str(lost(gone).error)
