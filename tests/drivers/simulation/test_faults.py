from collections import Counter

from drivers.simulation.faults import (
    MODBUS_RTU_FAULTS,
    MODBUS_TCP_FAULTS,
    MQTT_FAULTS,
    OFFLINE_PACE,
    PACE,
    SERIAL_FAULTS,
    Fault,
    fault_at,
)

SHORT = tuple(fault for fault in Fault if fault is not Fault.OFFLINE)


def test_about_half_of_the_stretches_have_a_fault_of_each_kind_at_some_time() -> None:
    stretches = 150
    seen = Counter(
        fault
        for stretch in range(stretches)
        for fault in {
            fault_at("bench", stretch * PACE.stretch_s + second, 1, SHORT) for second in range(int(PACE.stretch_s))
        }
        if fault is not None
    )
    assert seen.keys() == set(SHORT)
    assert 0.35 * stretches < sum(seen.values()) < 0.65 * stretches


def test_a_fault_ends_within_a_minute() -> None:
    longest = run = 0
    for second in range(40 * int(PACE.stretch_s)):
        run = run + 1 if fault_at("bench", second, 2, SHORT) else 0
        longest = max(longest, run)
    # Two neighbouring stretches may join theirs.
    assert longest <= 2 * PACE.longest_s


def test_a_device_is_offline_for_hours_now_and_then() -> None:
    minutes = [fault_at("bench", 60.0 * minute, 1, (Fault.OFFLINE,)) for minute in range(7 * 24 * 60)]
    lengths = [len(run) for run in "".join("x" if fault else " " for fault in minutes).split()]
    assert lengths
    assert all(OFFLINE_PACE.shortest_s <= 60 * (length + 1) for length in lengths)
    assert sum(lengths) < len(minutes) / 4


def test_devices_do_not_fail_together() -> None:
    both = [
        second
        for second in range(0, 30_000, 5)
        if fault_at("a", second, 1, SHORT) and fault_at("b", second, 1, SHORT) is not None
    ]
    single = [second for second in range(0, 30_000, 5) if fault_at("a", second, 1, SHORT)]
    assert len(both) < len(single) / 2


def test_only_what_is_asked_for_happens() -> None:
    for faults in ((), (Fault.ECHO,), MQTT_FAULTS):
        seen = {fault_at("a", second, 1, faults) for second in range(0, 60_000, 7)}
        assert seen - {None} <= set(faults)
        assert bool(seen - {None}) is bool(faults)


def test_every_fault_is_shown_by_some_transport() -> None:
    assert {*MODBUS_TCP_FAULTS, *MODBUS_RTU_FAULTS, *SERIAL_FAULTS, *MQTT_FAULTS} == set(Fault)
