"""The measure of memory from outside: it sees what a process took for a moment, and what this one takes it does not."""

import pytest

from tests.memory import peak_memory

MIB = 1024 * 1024


def test_what_was_taken_for_a_moment_is_seen() -> None:
    little = peak_memory("print('not the end')")
    much = peak_memory("import sys; data = b'x' * int(sys.argv[1]); del data", str(64 * MIB))
    assert 60 * MIB < much - little < 80 * MIB


def test_the_memory_of_this_process_does_not_count() -> None:
    little = peak_memory("")
    ballast = b"x" * (128 * MIB)
    assert peak_memory("") < little + 32 * MIB
    assert len(ballast) == 128 * MIB


def test_the_package_can_be_imported() -> None:
    assert peak_memory("import tests.clock") > MIB


def test_code_that_fails_is_told() -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        peak_memory("1 / 0")
