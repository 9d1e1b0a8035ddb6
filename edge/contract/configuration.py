"""What a producer asks for. Everything else that is published is written by the gateway: `edge.domain.facts`."""

from typing import Any

from pydantic import ConfigDict, Field, create_model

from edge.contract.model import Boolean, Count, ForeignTimestamp, Identifier, Integer, Model, Number
from edge.domain.settable import Part, settables

# Ids of traces are short; a longer one would make the answer larger than the question.
CORRELATION_ID_LENGTH_MAX = 256


class AlarmLimits(Model):
    """Reserved: comes with a later version; an update that has it is rejected as not_supported."""

    low: Number | None = None
    high: Number | None = None
    delay_s: Number | None = None


class RecipeReference(Model):
    """Reserved, as `alarm`."""

    id: str
    version: Count | None = None


class Desired(Model):
    """Part of a configuration. An unknown key is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


def _desired(part: Part) -> dict[str, Any]:
    """Return the fields of what can be set."""
    return {
        row.attribute: (
            Boolean | None if row.value_type is bool else Number | None,
            Field(default=None, description=row.description),
        )
        for row in settables(part)
    }


DesiredPoint = create_model(
    "DesiredPoint",
    __base__=Desired,
    __doc__="How a point's values are corrected and reported. Absent = the site file's value, else the profile's.",
    **_desired(Part.POINT),
    alarm=(AlarmLimits | None, None),
)

DesiredConfiguration = create_model(
    "DesiredConfiguration",
    __base__=Desired,
    __doc__="The whole desired state of one device, never a delta. An unknown key is an error, not ignored.",
    **_desired(Part.DEVICE),
    points=(dict[str, DesiredPoint] | None, None),  # type: ignore[valid-type, arg-type]  # made at run time
    setpoints=(dict[str, Number | Boolean] | None, Field(default=None, description="Reserved, as `alarm`.")),
    recipe=(RecipeReference | None, Field(default=None, description="Reserved, as `alarm`.")),
)


class Update(Model):
    """What every reader of an update needs; the configuration itself is judged key by key."""

    gateway_id: Identifier | None = Field(
        default=None, description="The gateway that is asked. Another one that finds it in its stream rejects it."
    )
    device_id: Identifier
    config_version: Count = Field(description="Must be above that of every valid update before it.")
    based_on: Integer | None = Field(
        default=None, description="The version this one changes; another one meanwhile is a conflict. 0 = none yet."
    )
    valid_until: ForeignTimestamp | None = Field(default=None, description="Not applied after this time.")
    changed_by: str | None = Field(
        default=None, description="The person or service that wants it. A site may demand it."
    )
    reason: str | None = Field(default=None, description="What for. A site may demand it.")


class UpdateToRead(Update):
    """An update of whose configuration only the shape is known."""

    configuration: dict[str, object]


DeviceConfigurationUpdated = create_model(
    "DeviceConfigurationUpdated",
    __base__=Update,
    __doc__="A producer asks for a configuration. Exactly one DeviceConfigurationApplied or Rejected answers it.",
    configuration=(DesiredConfiguration, ...),
)
