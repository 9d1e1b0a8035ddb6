import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.identifier import is_identifier, uuid7


@pytest.mark.parametrize("text", ["a", "north-1", "bench3_climate", "9lives", "x" * 64])
def test_an_id_is_lower_case_letters_digits_dashes_and_underscores(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize("text", ["", "-a", "_a", "A", "a.b", "a b", "ä", "a\n", "x" * 65])
def test_anything_else_is_no_id(text: str) -> None:
    assert not is_identifier(text)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_tells_its_version_variant_and_millisecond(unix_ms: int, randomness: bytes) -> None:
    made = uuid7(unix_ms, randomness)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == unix_ms


def test_the_example_of_rfc_9562_comes_out() -> None:
    # RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F, rand_a = CC3, rand_b = 18C4DC0C0C07398F.
    randomness = (0x0CC3 << 64 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    assert uuid7(0x017F22E279B0, randomness) == uuid.UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
