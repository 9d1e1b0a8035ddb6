"""What all published models have in common: camelCase outside, unknown fields ignored, no value that JSON cannot hold."""

import re
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from edge.domain.clock import unix_ms_of
from edge.domain.identifier import IDENTIFIER_PATTERN

# JSON numbers above this lose their last digits in most consumers (2^53 - 1).
INTEGER_MAX = 9_007_199_254_740_991

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


def _utc_milliseconds(text: str) -> str:
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError("a time is written in UTC with milliseconds: 2026-11-23T10:15:00.120Z")
    datetime.fromisoformat(text)
    return text


def _with_offset(text: str) -> str:
    unix_ms_of(text)
    return text


def _integral(value: object) -> object:
    """In JSON, 7.0 is an integer too; some producers write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Identifier = Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
# As the gateway writes it.
Timestamp = Annotated[str, AfterValidator(_utc_milliseconds), Field(json_schema_extra={"format": "date-time"})]
# As others may write it: any RFC 3339 time that names its offset.
ForeignTimestamp = Annotated[str, AfterValidator(_with_offset), Field(json_schema_extra={"format": "date-time"})]
Integer = Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX), BeforeValidator(_integral)]
Count = Annotated[int, Field(strict=True, ge=1, le=INTEGER_MAX), BeforeValidator(_integral)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# A number never stands for a boolean, nor the other way round.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Boolean = Annotated[bool, Field(strict=True)]


class Model(BaseModel):
    """A part of an event. Frozen; reads camelCase, ignores what it does not know (additive changes keep the version)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def as_json(self) -> dict[str, JsonValue]:
        """Return what is written; a field that was left out stays out."""
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return dumped


# What a schema says of `clock`; a model that adds a rule of its own repeats it.
CLOCK_RULE: JsonDict = {
    "if": {"properties": {"clock": {"const": "unsynchronized"}}},
    "then": {"required": ["uptimeMs"]},
}


class GatewayFact(Model):
    """What every event of the gateway starts with."""

    model_config = ConfigDict(json_schema_extra=CLOCK_RULE)

    site_id: Identifier = Field(description="The greenhouse.")
    gateway_id: Identifier = Field(description="The daemon at it; the site's id unless two boxes share a site.")
    clock: Literal["synchronized", "unsynchronized"] = Field(
        description="Whether the box's wall time could be believed when it wrote this."
    )
    uptime_ms: Integer | None = Field(
        default=None, description="Milliseconds since the box booted; there when the clock is unsynchronized."
    )

    @model_validator(mode="after")
    def _tell_uptime_of_an_unsynchronized_clock(self) -> "GatewayFact":
        if self.clock == "unsynchronized" and self.uptime_ms is None:
            raise ValueError("an unsynchronized clock comes with uptimeMs")
        return self


class ControlFact(GatewayFact):
    """Every event of the gateway but SensorReadingReceived."""

    occurred_at: Timestamp = Field(description="The box's wall time.")


class DeviceFact(ControlFact):
    """A control event about one device."""

    device_id: Identifier = Field(description="The device.")


class Metadata(Model):
    """What stands beside every event the gateway writes."""

    schema_version: Count = Field(description="Version of this type's data.")
    producer: str = Field(description="Name and version of the program.", examples=["greenhouse-edge/0.1.0"])
    run: UUID = Field(description="One start of the daemon; sequences count within it.")
    boot_id: UUID = Field(description="One start of the machine.")
    site_file_digest: Digest = Field(description="The site file the gateway ran with.")
    position: Integer = Field(description="Place in the gateway's outbox.")
    config_version: Integer | None = Field(
        default=None, description="Events about one device: version of the update in force; 0 = the site file alone."
    )
    causation_id: UUID | None = Field(
        default=None, alias="$causationId", description="The DeviceConfigurationUpdated in force, or the one answered."
    )
    correlation_id: str | None = Field(default=None, alias="$correlationId", description="Copied from that update.")
    retry_of: UUID | None = Field(default=None, description="The quarantined event that this one repeats.")
