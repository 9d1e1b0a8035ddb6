"""Whether what is written keeps the published contract: no key is missing, wrong or misspelt."""

import json
from collections.abc import Iterator

from pydantic import ValidationError

from edge.contract.model import Model
from edge.contract.registry import METADATA, MODELS
from edge.domain.event import EventType


def breaches(event_type: str, data: bytes, metadata: bytes) -> list[str]:
    """Find what the models do not take, or take no notice of (a reader ignores keys that it does not know)."""
    return [
        *_differences(event_type, MODELS[EventType(event_type)], data),
        *_differences(f"{event_type}'s metadata", METADATA, metadata),
    ]


def _differences(name: str, model: type[Model], written: bytes) -> Iterator[str]:
    said = json.loads(written)
    try:
        understood = model.model_validate(said).as_json()
    except ValidationError as error:
        yield f"{name} breaks its contract: {error}"
        return
    if understood != said:
        yield f"{name} is {said}, and is understood as {understood}"
