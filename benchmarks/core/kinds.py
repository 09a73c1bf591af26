"""Which servers are compared, in the order of the tables; a name that ends in `+uvloop` runs on uvloop."""

LIMIT = "c"

KINDS = {
    LIMIT: "C on epoll (the limit)",
    "protocol": "asyncio.Protocol",
    "asyncnet": "asyncnet",
    "streams": "asyncio streams",
    "anyio": "anyio",
    "trio": "trio",
    "twisted": "Twisted",
    "tornado": "Tornado",
    "protocol+uvloop": "asyncio.Protocol, uvloop",
    "asyncnet+uvloop": "asyncnet, uvloop",
    "streams+uvloop": "asyncio streams, uvloop",
}
