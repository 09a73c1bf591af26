"""Scrapy as one sets it who wants pages and nothing else: 64 at once, no robots, no retries, no cookies, no log.

    python -m benchmarks.jobs.spider gets URL COUNT     prints seconds, CPU seconds and peak MiB, as JSON
    python -m benchmarks.jobs.spider list FILE          prints a line of JSON for each URL of the list

The time begins when the engine is open, and ends when the spider is done.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from scrapy import Request, Spider
from scrapy.crawler import CrawlerProcess

from benchmarks.jobs.gets import AT_ONCE, check, urls_of
from benchmarks.jobs.process import highest_rss
from benchmarks.jobs.telling import MOST_BYTES, PATIENCE, tell_body, tell_error

SETTINGS = {
    "CONCURRENT_REQUESTS": AT_ONCE,
    "CONCURRENT_REQUESTS_PER_DOMAIN": AT_ONCE,
    "COOKIES_ENABLED": False,
    "DOWNLOAD_MAXSIZE": MOST_BYTES,
    "DOWNLOAD_TIMEOUT": PATIENCE,
    "LOG_ENABLED": False,
    "MEMUSAGE_ENABLED": False,
    "RETRY_ENABLED": False,
    "ROBOTSTXT_OBEY": False,
    "TELNETCONSOLE_ENABLED": False,
}


class Pages(Spider):
    """Fetches the URLs that it is given, each once."""

    name = "pages"

    def __init__(self, urls: Iterator[str], told: bool) -> None:
        super().__init__()
        self.urls = urls
        self.told = told
        self.came = 0
        self.began = self.seconds = self.cpu = 0.0

    async def start(self) -> AsyncIterator[Request]:
        self.began, self.cpu = time.perf_counter(), time.process_time()
        for url in self.urls:
            try:
                yield Request(url, dont_filter=True, errback=self.failed, cb_kwargs={"url": url})
            except ValueError as error:  # it would end all of it
                tell_error(url, error)

    def parse(self, response: Any, url: str) -> None:
        self.came += 1
        if self.told:
            tell_body(url, response.body)
        else:
            check(response.body)

    def failed(self, failure: Any) -> None:
        error = failure.value
        if hasattr(error, "response"):
            error = ValueError(f"status {error.response.status}")  # its own text does not say which
        tell_error(failure.request.cb_kwargs["url"], error)

    def closed(self, reason: str) -> None:
        self.seconds, self.cpu = time.perf_counter() - self.began, time.process_time() - self.cpu


def main() -> None:
    """Fetch, and print what is asked for."""
    is_list = sys.argv[1] == "list"
    urls = iter(Path(sys.argv[2]).read_text().splitlines()) if is_list else urls_of(sys.argv[2], int(sys.argv[3]))
    process = CrawlerProcess(SETTINGS)
    crawler = process.create_crawler(Pages)
    process.crawl(crawler, urls=urls, told=is_list)
    process.start()
    spider = crawler.spider
    assert isinstance(spider, Pages)
    if not is_list:
        if spider.came != int(sys.argv[3]):
            raise SystemExit(f"{spider.came} pages came")
        print(json.dumps([spider.seconds, spider.cpu, highest_rss()]))


if __name__ == "__main__":
    main()
