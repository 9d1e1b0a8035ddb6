from collections import Counter

from drivers.simulation.faults import DURATION_S_MAX, STRETCH_S, Fault, fault_at


def test_about_half_of_the_stretches_have_a_fault_of_each_kind_at_some_time() -> None:
    stretches = 150
    seen = Counter(
        fault
        for stretch in range(stretches)
        for fault in {fault_at("bench", stretch * STRETCH_S + second, 1) for second in range(int(STRETCH_S))}
        if fault is not None
    )
    assert seen.keys() == set(Fault)
    assert 0.35 * stretches < sum(seen.values()) < 0.65 * stretches


def test_a_fault_ends_within_a_minute() -> None:
    longest = run = 0
    for second in range(40 * int(STRETCH_S)):
        run = run + 1 if fault_at("bench", second, 2) else 0
        longest = max(longest, run)
    # Two neighbouring stretches may join theirs.
    assert longest <= 2 * DURATION_S_MAX


def test_devices_do_not_fail_together() -> None:
    both = [
        second for second in range(0, 30_000, 5) if fault_at("a", second, 1) and fault_at("b", second, 1) is not None
    ]
    single = [second for second in range(0, 30_000, 5) if fault_at("a", second, 1)]
    assert len(both) < len(single) / 2
