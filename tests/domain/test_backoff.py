import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.backoff import Backoff

BACKOFF = Backoff(first_s=1, longest_s=60)


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_half_and_whole_of_its_step(failures: int, chance: float) -> None:
    step_s = min(60.0, 2.0 ** min(failures - 1, 32))
    assert step_s / 2 <= BACKOFF.delay_s(failures, lambda: chance) <= step_s


def test_waits_double_up_to_the_longest() -> None:
    assert [BACKOFF.delay_s(n, lambda: 0.0) for n in (1, 2, 3, 7, 8, 1000)] == [0.5, 1, 2, 30, 30, 30]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="first_s"):
        Backoff(first_s=2, longest_s=1)
