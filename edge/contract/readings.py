"""What was measured, and what of it is missing."""

from uuid import UUID

from pydantic import ConfigDict, Field, StrictStr, model_validator
from pydantic.config import JsonDict

from edge.contract.model import (
    CLOCK_RULE,
    Boolean,
    Count,
    DeviceFact,
    GatewayFact,
    Identifier,
    Integer,
    Model,
    Number,
    Timestamp,
)
from edge.domain.reading import BAD_REASONS, Origin, Quality, Reason

# An object with a rule, not a union of three models: consumers' code generators cope better with one type.
_READING_RULES: JsonDict = {
    "allOf": [
        {
            "if": {"properties": {"quality": {"const": Quality.GOOD.value}}},
            "then": {"properties": {"value": {"not": {"type": "null"}}, "reason": {"type": "null"}}},
        },
        {
            "if": {"properties": {"quality": {"const": Quality.UNCERTAIN.value}}},
            "then": {
                "required": ["reason"],
                "properties": {
                    "value": {"not": {"type": "null"}},
                    "reason": {"enum": [reason.value for reason in Reason if reason not in BAD_REASONS]},
                },
            },
        },
        {
            "if": {"properties": {"quality": {"const": Quality.BAD.value}}},
            "then": {
                "required": ["reason"],
                "properties": {
                    "value": {"type": "null"},
                    "reason": {"enum": [reason.value for reason in Reason if reason in BAD_REASONS]},
                },
            },
        },
    ]
}


_REDELIVERY_RULE: JsonDict = {
    "allOf": [
        {
            "if": {"properties": {"origin": {"const": Origin.REDELIVERED.value}}},
            "then": {"required": ["repeatOf"], "properties": {"repeatOf": {"type": "string"}}},
            "else": {"properties": {"repeatOf": {"type": "null"}}},
        }
    ]
}


class ReadingData(Model):
    """One point's value, unit and quality."""

    model_config = ConfigDict(json_schema_extra=_READING_RULES)

    value: Number | Boolean | StrictStr | None = Field(
        description="Null exactly when the quality is bad. Its type is fixed per point by DeviceDescribed."
    )
    unit: str | None = Field(description="UCUM; null for text, booleans and what has no unit.")
    quality: Quality
    reason: Reason | None = Field(default=None, description="Why it is not good.")

    @model_validator(mode="after")
    def _agree(self) -> "ReadingData":
        if (self.quality is Quality.GOOD) != (self.reason is None):
            raise ValueError("a reading has a reason exactly when it is not good")
        if (self.quality is Quality.BAD) != (self.reason in BAD_REASONS) or (self.quality is Quality.BAD) != (
            self.value is None
        ):
            raise ValueError("a bad reading has no value and a reason for bad, every other has a value")
        return self


class Previous(Model):
    """A device's last sample in an earlier run: joins the runs."""

    run: UUID
    sequence: Count


class SensorReadingReceived(GatewayFact):
    """One sample of one device: one time, one or more points. A point that is missing was not reported, never bad."""

    model_config = ConfigDict(json_schema_extra={**CLOCK_RULE, **_REDELIVERY_RULE})

    device_id: Identifier
    measured_at: Timestamp
    origin: Origin = Field(
        description="Measured now, back-filled by the device, retained by a broker, or redelivered: sent again by a"
        " broker that had no acknowledgement, and recorded though the event repeatOf may tell of the same message."
    )
    repeat_of: UUID | None = Field(
        default=None,
        description="The event that this one may repeat; there exactly when the origin is redelivered. Count both, and"
        " a message may be counted twice; leave this one out, and a message may be missing.",
    )
    sequence: Count = Field(description="Counts the device's samples within the run.")
    previous: Previous | None = Field(
        default=None, description="On the first sample of a run, if there was an earlier one."
    )
    readings: dict[str, ReadingData] = Field(min_length=1)

    @model_validator(mode="after")
    def _name_the_original(self) -> "SensorReadingReceived":
        if (self.origin is Origin.REDELIVERED) != (self.repeat_of is not None):
            raise ValueError("repeatOf is there exactly when the origin is redelivered")
        return self


class ReadingsDropped(DeviceFact):
    """Samples that will never come, counted exactly."""

    reason: str = Field(
        description="An open list: not_accepted (the outbox could not take them), outbox_full, block_damaged.",
        examples=["outbox_full"],
    )
    run: UUID
    sequences: tuple[Integer, Integer] | None = Field(
        description="First and last of the dropped numbers; null for samples that never had one (not_accepted)."
    )
    count: Count
    first_measured_at: Timestamp | None
    last_measured_at: Timestamp | None
