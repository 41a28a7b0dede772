"""Numbers in words."""

import pytest

from nncirc.circuits.words import counted, memory_in_words


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1 KiB"),
        (2**20 - 1, "1,024 KiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (4096 * 2**30, "4,096 GiB"),
    ],
)
def test_memory_has_a_unit_that_fits(size: float, said: str) -> None:
    assert memory_in_words(size) == said


def test_one_is_singular() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
