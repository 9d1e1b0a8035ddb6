from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from edge.collect.declarations import DECLARATION_INTERVAL_S, RefusalTally, Refused


def taking(declared: list[tuple[str, Refused]]) -> Callable[[str, Refused], bool]:
    def offer(device_id: str, refused: Refused) -> bool:
        declared.append((device_id, refused))
        return True

    return offer


@given(
    st.lists(
        st.one_of(st.tuples(st.sampled_from("ab"), st.integers(0, 1000)), st.sampled_from([True, False])), max_size=80
    )
)
def test_each_refused_sample_is_declared_exactly_once(steps: list[tuple[str, int] | bool]) -> None:
    tally = RefusalTally()
    refused_at: dict[str, list[int]] = {"a": [], "b": []}
    declared: list[tuple[str, Refused]] = []
    for step_s, step in enumerate(steps):
        if isinstance(step, tuple):
            tally.refuse(*step)
            refused_at[step[0]].append(step[1])
        else:
            tally.declare(taking(declared) if step else lambda *_: False, now_s=float(step_s))
    tally.declare(taking(declared), now_s=float(len(steps)), is_last=True)
    assert not tally
    for device_id, moments in refused_at.items():
        mine = [refused for device, refused in declared if device == device_id]
        assert sum(refused.count for refused in mine) == len(moments)
        if moments:
            assert min(refused.first_measured_at_ms for refused in mine) == min(moments)
            assert max(refused.last_measured_at_ms for refused in mine) == max(moments)


def test_a_queue_on_the_brink_gives_one_declaration_per_interval() -> None:
    tally, declared = RefusalTally(), list[tuple[str, Refused]]()
    for tenth in range(300):
        tally.refuse("a", tenth)
        tally.declare(taking(declared), now_s=tenth / 10)
    assert len(declared) == 30 / DECLARATION_INTERVAL_S
