"""Topic filters as MQTT means them (5.0, section 4.7), and the patterns by which a device group names its devices."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ONE_LEVEL = "+"
ALL_LEVELS = "#"
NAME = "{name}"
NAME_AT_ANY_DEPTH = "{name:any_depth}"
# The protocol's limit, in bytes of UTF-8.
TOPIC_LENGTH_MAX = 65_535

Item = TypeVar("Item")

_CAPTURE = re.compile(r"(\{name:any_depth\}|\{name\})")
_LEVEL = "[^/]+"
_NAME_EXPRESSIONS = {NAME: _LEVEL, NAME_AT_ANY_DEPTH: f"{_LEVEL}(?:/{_LEVEL})*"}


@dataclass(slots=True)
class _Node(Generic[Item]):
    items: list[Item] = field(default_factory=list)
    below: "dict[str, _Node[Item]]" = field(default_factory=dict)


class FilterTree(Generic[Item]):
    """Topic filters, each with items. The cost of finding a topic grows with its levels, not with the filters."""

    def __init__(self) -> None:
        self._root = _Node[Item]()

    def add(self, topic_filter: str, item: Item) -> None:
        """Let something belong to a filter."""
        node = self._root
        for level in topic_filter.split("/"):
            node = node.below.setdefault(level, _Node())
        node.items.append(item)

    def matching(self, topic: str) -> list[Item]:
        """Return what belongs to the filters that match a topic.

        Asked for a filter instead, it returns what belongs to the filters that match all that this one matches.
        """
        found: list[Item] = []
        nodes = [self._root]
        # A wildcard at the first level does not match a broker's own topics.
        wildcards = not topic.startswith("$")
        for level in topic.split("/"):
            following: list[_Node[Item]] = []
            for node in nodes:
                if wildcards and (rest := node.below.get(ALL_LEVELS)) is not None:
                    found += rest.items
                if level != ALL_LEVELS and (exact := node.below.get(level)) is not None:
                    following.append(exact)
                if (
                    wildcards
                    and level not in {ONE_LEVEL, ALL_LEVELS}
                    and (each := node.below.get(ONE_LEVEL)) is not None
                ):
                    following.append(each)
            nodes = following
            wildcards = True
        for node in nodes:
            found += node.items
            # `a/#` matches `a` as well.
            if (rest := node.below.get(ALL_LEVELS)) is not None:
                found += rest.items
        return found


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter matches a topic."""
    if topic.startswith("$") and topic_filter.startswith((ONE_LEVEL, ALL_LEVELS)):
        return False
    levels = topic.split("/")
    wanted = topic_filter.split("/")
    if wanted[-1] == ALL_LEVELS:
        del wanted[-1]
        # `a/#` matches `a` as well.
        del levels[len(wanted) :]
    return len(levels) == len(wanted) and all(
        want in {ONE_LEVEL, level} for want, level in zip(wanted, levels, strict=True)
    )


def widest(topic_filters: Iterable[str]) -> tuple[str, ...]:
    """Return the filters that no other one covers. MQTT 5 brokers deliver a message once for each filter it matches."""
    once = tuple(dict.fromkeys(topic_filters))
    tree = FilterTree[str]()
    for topic_filter in once:
        tree.add(topic_filter, topic_filter)
    return tuple(topic_filter for topic_filter in once if tree.matching(topic_filter) == [topic_filter])


def overlap(one: str, other: str) -> bool:
    """Whether some topic matches both filters."""
    ones, others = one.split("/"), other.split("/")
    if one.startswith("$") != other.startswith("$"):
        return False
    for index in range(max(len(ones), len(others))):
        left = ones[index] if index < len(ones) else None
        right = others[index] if index < len(others) else None
        if ALL_LEVELS in {left, right}:
            return True
        if left is None or right is None or (left != right and ONE_LEVEL not in {left, right}):
            return False
    return True


def filter_mistake(topic_filter: str) -> str | None:
    """Say what is wrong with a topic filter; None if nothing is."""
    levels = topic_filter.split("/")
    mistakes = {
        "is empty": not topic_filter,
        f"is longer than {TOPIC_LENGTH_MAX} bytes": len(topic_filter.encode(errors="replace")) > TOPIC_LENGTH_MAX,
        "holds a character that cannot be seen": not topic_filter.isprintable(),
        "is a shared subscription; its messages would be divided among all who share it": levels[0] == "$share",
        "may hold # only as its whole last level": any(ALL_LEVELS in level for level in levels[:-1])
        or (ALL_LEVELS in levels[-1] and levels[-1] != ALL_LEVELS),
        "may hold + only as a whole level": any(ONE_LEVEL in level and level != ONE_LEVEL for level in levels),
    }
    return next((sentence for sentence, is_so in mistakes.items() if is_so), None)


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """A topic with a place for a device's name: `tele/{name}/SENSOR`, `zigbee2mqtt/{name:any_depth}`."""

    text: str
    # What to subscribe to so that everything comes that the pattern may match.
    filter: str
    _expression: "re.Pattern[str]"

    def name_in(self, topic: str) -> str | None:
        """Return the name that a topic holds where the pattern has its place; None if the topic is another."""
        found = self._expression.fullmatch(topic)
        return None if found is None else found["name"]


def topic_pattern(text: str) -> TopicPattern:
    """Read a pattern; it holds `{name}` (one level) or `{name:any_depth}` (one or more)."""
    return TopicPattern(text, _filter_of(text), re.compile(_expression_of(text), re.DOTALL))


def names_a_device(text: str) -> bool:
    """Whether a text has a place for a name."""
    return _CAPTURE.search(text) is not None


def _filter_of(text: str) -> str:
    levels: list[str] = []
    for level in text.split("/"):
        if NAME_AT_ANY_DEPTH in level:
            levels.append(ALL_LEVELS)
            break
        levels.append(ONE_LEVEL if NAME in level else level)
    return "/".join(levels)


def _expression_of(text: str) -> str:
    body, separator, last = text.rpartition("/")
    if last == ALL_LEVELS:
        return f"{_expression_of(body)}(?:/.*)?" if separator else ".*"
    parts: list[str] = []
    for part in _CAPTURE.split(text):
        if part not in _NAME_EXPRESSIONS:
            parts.append(_literal(part))
        elif any(before.startswith("(?P<name>") for before in parts):
            parts.append("(?P=name)")
        else:
            parts.append(f"(?P<name>{_NAME_EXPRESSIONS[part]})")
    return "".join(parts)


def _literal(part: str) -> str:
    """An expression for the text between names; a `+` is a whole level."""
    pieces: Sequence[str] = part.split(ONE_LEVEL)
    return "[^/]*".join(re.escape(piece) for piece in pieces)
