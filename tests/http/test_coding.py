"""Content codings: any cut gives the same bytes, and a body whose coding is unfinished is not taken for whole."""

import contextlib
import gzip
import itertools
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.errors import IncompleteRead, LimitError, ProtocolError
from asyncnet.http import brotli_zstd
from asyncnet.http.brotli_zstd import INSTALLED
from asyncnet.http.coding import ACCEPTED, MAX_LAYERS, decoded, decoders
from asyncnet.http.decoder import PIECE_BYTES

TEXT = b"the quick brown fox jumps over the lazy dog " * 8


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "GZIP": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    " deflate ": bare_deflate(TEXT),
    "identity": TEXT,
    "": TEXT,
    "gzip, gzip": gzip.compress(gzip.compress(TEXT)),
    "deflate,identity, gzip": gzip.compress(zlib.compress(TEXT)),
}

PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress}
if "br" in INSTALLED:
    PACKERS["br"] = brotli_zstd._brotli.compress
if "zstd" in INSTALLED:
    PACKERS["zstd"] = brotli_zstd._zstd.compress
for name in ("br", "zstd"):
    if name in PACKERS:
        CODED[name] = PACKERS[name](TEXT)
        CODED[f"gzip, {name}"] = PACKERS[name](gzip.compress(TEXT))
        CODED[f"{name}, gzip"] = gzip.compress(PACKERS[name](TEXT))


def undone(field: str, *blocks: bytes) -> bytes:
    chain = decoders(field)
    assert chain is not None
    data = b"".join(itertools.chain.from_iterable(decoded(chain, block) for block in blocks))
    for decoder in chain:
        decoder.finish()
    return data


@pytest.mark.parametrize("field", CODED)
def test_each_coding_is_undone_at_every_cut(field: str) -> None:
    coded = CODED[field]
    for cut in range(len(coded) + 1):
        assert undone(field, coded[:cut], coded[cut:]) == TEXT
    assert undone(field, *(coded[i : i + 1] for i in range(len(coded)))) == TEXT


@pytest.mark.parametrize("field", [name for name in CODED if name.strip() not in ("", "identity")])
def test_an_unfinished_body_is_an_error_at_every_cut(field: str) -> None:
    coded = CODED[field]
    for cut in range(1, len(coded)):
        with pytest.raises(IncompleteRead):
            undone(field, coded[:cut])


def test_an_empty_body_has_no_coding_to_finish() -> None:
    assert undone("gzip", b"") == b""
    assert undone("gzip") == b""


def test_members_one_after_the_other_are_one_body() -> None:
    two = gzip.compress(b"one ") + gzip.compress(b"two")
    for cut in range(len(two) + 1):
        if cut != len(gzip.compress(b"one ")):
            assert undone("gzip", two[:cut], two[cut:]) == b"one two"
    assert undone("gzip", two + b"\0" * 20) == b"one two"


@pytest.mark.parametrize("field", ["gzip", "deflate"])
def test_bytes_after_the_end_are_refused(field: str) -> None:
    with pytest.raises(ProtocolError, match="after the end"):
        undone(field, CODED[field] + b"more")
    with pytest.raises(ProtocolError, match="after the end"):
        undone(field, CODED[field], b"more")


@pytest.mark.parametrize("field", ["gzip", "deflate", "gzip, gzip", *INSTALLED])
@given(st.binary(min_size=1, max_size=200))
def test_nonsense_is_never_a_raw_error(field: str, data: bytes) -> None:
    with contextlib.suppress(ProtocolError, IncompleteRead):
        undone(field, data)


def test_a_flipped_bit_is_found() -> None:
    coded = bytearray(CODED["gzip"])
    coded[-6] ^= 1  # the checksum
    with pytest.raises(ProtocolError, match="not gzip"):
        undone("gzip", bytes(coded))


@given(st.binary(max_size=3000), st.lists(st.integers(1, 400), max_size=20))
def test_what_is_packed_comes_back(data: bytes, sizes: list[int]) -> None:
    packed = gzip.compress(data)
    cuts = [0, *itertools.accumulate(sizes)]
    blocks = [packed[a:b] for a, b in itertools.pairwise(cuts)] + [packed[cuts[-1] :]]
    assert undone("gzip", *blocks) == data


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES])
@pytest.mark.parametrize("filler", ["zeros", "noise"])
@pytest.mark.parametrize("coding", PACKERS)
def test_no_piece_is_larger_than_the_bound(size: int, filler: str, coding: str) -> None:
    data = bytes(size) if filler == "zeros" else random.Random(size).randbytes(size)
    chain = decoders(coding)
    assert chain is not None
    pieces = list(decoded(chain, PACKERS[coding](data)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE_BYTES
    chain[0].finish()


def test_a_bomb_is_decoded_only_as_far_as_it_is_read() -> None:
    bomb = gzip.compress(gzip.compress(bytes(200_000_000), 9), 9)
    chain = decoders("gzip, gzip")
    assert chain is not None
    pieces = decoded(chain, bomb)
    assert sum(len(piece) for piece in itertools.islice(pieces, 10)) <= 10 * PIECE_BYTES


@pytest.mark.parametrize("coding", PACKERS)
def test_a_bomb_in_each_coding_comes_in_small_pieces(coding: str) -> None:
    chain = decoders(coding)
    assert chain is not None
    pieces = decoded(chain, PACKERS[coding](bytes(20_000_000)))
    assert [len(piece) <= PIECE_BYTES for piece in itertools.islice(pieces, 20)] == [True] * 20


@pytest.mark.skipif("zstd" not in INSTALLED, reason="no library for zstd")
def test_zstd_goes_on_over_frames_and_takes_no_huge_window() -> None:
    zstd = brotli_zstd._zstd
    two = zstd.compress(b"one ") + zstd.compress(b"two")
    for cut in range(len(two) + 1):
        assert undone("zstd", two[:cut], two[cut:]) == b"one two"
    with pytest.raises(ProtocolError, match="not zstd"):
        undone("zstd", zstd.compress(TEXT) + b"more")
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    with pytest.raises(ProtocolError, match="memory"):
        undone("zstd", packer.compress(bytes(1_000_000)) + packer.flush())


@pytest.mark.skipif("br" not in INSTALLED, reason="no library for br")
def test_br_ends_once() -> None:
    for blocks in ((CODED["br"] + b"more",), (CODED["br"], b"more")):
        with pytest.raises(ProtocolError, match="br"):
            undone("br", *blocks)


def test_no_more_is_announced_than_can_be_undone() -> None:
    assert ACCEPTED.split(", ") == ["gzip", "deflate", *INSTALLED]
    assert decoders(ACCEPTED[: ACCEPTED.find(", br")] if "br" in INSTALLED else ACCEPTED) is not None


def test_an_unknown_coding_has_no_decoder() -> None:
    assert decoders("exi") is None
    assert decoders("gzip, rot13") is None


def test_there_is_an_end_to_codings_upon_codings() -> None:
    assert len(decoders(", ".join(["gzip"] * MAX_LAYERS)) or []) == MAX_LAYERS
    with pytest.raises(LimitError):
        decoders(", ".join(["gzip"] * (MAX_LAYERS + 1)))
