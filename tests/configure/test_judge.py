from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.configure.judge import Outcome, judge, raised
from edge.configure.reading import Update
from edge.domain.configuration import Code, Stage
from edge.storage.configurations import DeviceVersions
from fakes.configure_world import make_device

DEVICE = make_device()
NOW_MS = 1_000_000


def an_update(
    revision: int,
    version: int,
    *,
    based_on: int | None = None,
    is_valid: bool = True,
    valid_until_ms: int | None = None,
) -> Update:
    return Update(
        event_id=UUID(int=revision),
        revision=revision,
        device_id=DEVICE.id,
        config_version=version,
        document={} if is_valid else {"nonsense": 1},
        based_on=based_on,
        valid_until_ms=valid_until_ms,
    )


updates = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.none() | st.integers(0, 8),
        st.booleans() | st.just(value=True),
        st.none() | st.sampled_from([NOW_MS - 1, NOW_MS, NOW_MS + 1]),
    ),
    max_size=12,
).map(
    lambda items: [
        an_update(revision, version, based_on=based_on, is_valid=is_valid, valid_until_ms=until)
        for revision, (version, based_on, is_valid, until) in enumerate(items)
    ]
)


@settings(deadline=None)
@given(updates, st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=8))
def test_every_update_is_decided_once_and_its_validity_does_not_depend_on_how_the_stream_was_cut(
    stream: list[Update], cuts: list[tuple[int, bool]]
) -> None:
    decided: dict[int, Outcome] = {}
    versions, waiting, rest = DeviceVersions(), list[Update](), list(stream)
    for size, is_final in [*cuts, (len(stream), True)]:
        waiting, rest = waiting + rest[:size], rest[size:]
        verdict = judge(waiting, DEVICE, versions, now_ms=NOW_MS, is_final=is_final)
        versions = verdict.versions
        for decision in verdict.decisions:
            assert decision.update.revision not in decided
            decided[decision.update.revision] = decision.outcome
        waiting = [update for update in waiting if update.revision not in decided]
        assert len(waiting) <= (0 if is_final else 1)
    assert set(decided) == {update.revision for update in stream}

    one_by_one, current = {}, DeviceVersions()
    for update in stream:
        verdict = judge([update], DEVICE, current, now_ms=NOW_MS, is_final=True)
        one_by_one[update.revision], current = verdict.decisions[0].outcome, verdict.versions
    assert versions == current
    valid = [revision for revision, outcome in one_by_one.items() if outcome is Outcome.APPLIED]
    assert [r for r in sorted(decided) if decided[r] is not Outcome.REJECTED] == valid
    if valid:
        assert decided[valid[-1]] is Outcome.APPLIED


@settings(deadline=None)
@given(updates)
def test_decisions_stand_in_the_order_of_the_stream_and_all_but_applied_have_reasons(stream: list[Update]) -> None:
    verdict = judge(stream, DEVICE, DeviceVersions(), now_ms=NOW_MS, is_final=True)
    revisions = [decision.update.revision for decision in verdict.decisions]
    assert revisions == sorted(revisions)
    for decision in verdict.decisions:
        assert bool(decision.mistakes) != (decision.outcome is Outcome.APPLIED)
        assert decision.stage is Stage.VALIDATION


def test_everything_that_is_wrong_is_told_together() -> None:
    update = an_update(0, 3, based_on=1, is_valid=False, valid_until_ms=NOW_MS - 1)
    [decision] = judge([update], DEVICE, DeviceVersions(stale=3, base=2), now_ms=NOW_MS, is_final=True).decisions
    assert [(m.code, m.limit) for m in decision.mistakes] == [
        (Code.STALE_VERSION, 3),
        (Code.CONFLICT, 2),
        (Code.EXPIRED, None),
        (Code.UNKNOWN_KEY, None),
    ]


def test_a_version_that_failed_at_the_device_is_used_up_but_nothing_is_based_on_it() -> None:
    before = DeviceVersions(stale=3, base=3)
    assert raised(before, Outcome.FAILED, 5) == DeviceVersions(stale=5, base=3)
    assert raised(before, Outcome.APPLIED, 5) == DeviceVersions(stale=5, base=5)
    assert raised(before, Outcome.SUPERSEDED, 5) == DeviceVersions(stale=5, base=5)
    assert raised(before, Outcome.REJECTED, 5) == before


def test_an_update_is_still_valid_in_the_last_millisecond() -> None:
    [decision] = judge(
        [an_update(0, 1, valid_until_ms=NOW_MS)], DEVICE, DeviceVersions(), now_ms=NOW_MS, is_final=True
    ).decisions
    assert decision.outcome is Outcome.APPLIED
