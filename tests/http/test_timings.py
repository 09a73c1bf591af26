"""Timings: each step that was taken, and None for what was not; only where they are asked for."""

import pickle

from asyncnet import http
from tests.http.site import Site
from tests.peers import Authority


async def test_each_step_has_its_time(authority: Authority) -> None:
    async with Site(authority.server) as site, http.session(tls=authority.client(), timings=True) as session:
        url = site.url.replace("127.0.0.1", "localhost")
        first, second = await session.get(f"{url}/hello"), await session.get(f"{url}/hello")
        assert first.timings is not None
        steps = [first.timings.dns, first.timings.connect, first.timings.tls, first.timings.first_byte]
        assert all(step is not None and step > 0 for step in steps)
        assert sum(step for step in steps if step is not None) <= first.timings.total
        assert second.timings is not None
        assert (second.timings.dns, second.timings.connect, second.timings.tls) == (None, None, None)  # a kept one
        assert second.timings.first_byte is not None
        assert pickle.loads(pickle.dumps(first)).timings == first.timings


async def test_redirects_add_up_and_without_asking_nothing_is_measured(site: Site) -> None:
    async with http.session(site.url, timings=True) as session:
        response = await session.get("/hops/3")
        assert response.timings is not None
        assert len(response.history) == 3
        assert response.timings.first_byte is not None
        assert response.timings.first_byte < response.timings.total
        assert response.timings.tls is None
    assert (await http.get(f"{site.url}/hello")).timings is None
