"""How devices are run: what may be set, what was asked for, and what became of it."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from edge.contract.model import (
    Boolean,
    ControlFact,
    Count,
    DeviceFact,
    Digest,
    ForeignTimestamp,
    Identifier,
    Integer,
    Model,
    Number,
)
from edge.domain.configuration import Code, Stage
from edge.domain.settings import ValueType


class SettableLimits(Model):
    """What may be set from far, both ends included. The site file's own value is always allowed as well."""

    min: Number
    max: Number


class SettableOfPoint(Model):
    """What may be set at a point. What is missing may not be set."""

    offset: SettableLimits | None = None
    gain: SettableLimits | None = None
    deadband: SettableLimits | None = None
    max_silence_s: SettableLimits | None = None


class SettableOfDevice(Model):
    """What may be set at a device. What is missing may not be set."""

    enabled: Literal[True] | None = None
    poll_interval_s: SettableLimits | None = None


class ProfileReference(Model):
    """The profile that describes the device, down to the byte."""

    id: str
    digest: Digest


class DescribedPoint(Model):
    """One point of a device."""

    quantity: str | None = Field(
        description="An id of quantities.json, or a quantity of the profile's own: x_ and a name. Null for text and switches."
    )
    type: ValueType
    unit: str | None = Field(description="UCUM.")
    range: tuple[Number, Number] | None = Field(
        default=None, description="Plausible values; outside, the quality is uncertain, out_of_range."
    )
    published: Literal[False] | None = Field(default=None, description="False where the point is never in an event.")
    writable: bool
    settable: SettableOfPoint


class DeviceDescribed(DeviceFact):
    """What a device is, what it reports, how often, and what may be set. Written whenever that changes."""

    name: str
    location: str
    connection_id: Identifier
    profile: ProfileReference | None
    enabled: bool
    expected_interval_s: Number | None = Field(description="Null: the device speaks when it likes, unasked.")
    max_silence_s: Number = Field(description="Silence after which the device counts as lost to its readers.")
    config_version: Integer = Field(description="The update in force; 0 = the site file alone.")
    settable: SettableOfDevice
    points: dict[str, DescribedPoint]


class AlarmLimits(Model):
    """Reserved: comes with a later version; an update that has it is rejected as not_supported."""

    low: Number | None = None
    high: Number | None = None
    delay_s: Number | None = None


class DesiredPoint(Model):
    """How a point's values are corrected and reported. Absent = the site file's value, else the profile's."""

    model_config = ConfigDict(extra="forbid")

    offset: Number | None = Field(default=None, description="In the canonical unit. Replaces the site file's.")
    gain: Number | None = None
    deadband: Number | None = None
    max_silence_s: Number | None = None
    alarm: AlarmLimits | None = None


class RecipeReference(Model):
    """Reserved, as `alarm`."""

    id: str
    version: Count | None = None


class DesiredConfiguration(Model):
    """The whole desired state of one device, never a delta. An unknown key is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")

    enabled: Boolean | None = None
    poll_interval_s: Number | None = None
    points: dict[str, DesiredPoint] | None = None
    setpoints: dict[str, Number | Boolean] | None = Field(default=None, description="Reserved, as `alarm`.")
    recipe: RecipeReference | None = Field(default=None, description="Reserved, as `alarm`.")


class Update(Model):
    """What every reader of an update needs; the configuration itself is judged key by key."""

    device_id: Identifier
    config_version: Count = Field(description="Must be above that of every valid update before it.")
    based_on: Integer | None = Field(
        default=None, description="The version this one changes; another one meanwhile is a conflict. 0 = none yet."
    )
    valid_until: ForeignTimestamp | None = Field(default=None, description="Not applied after this time.")
    changed_by: str | None = None
    reason: str | None = None


class UpdateToRead(Update):
    """An update of whose configuration only the shape is known."""

    configuration: dict[str, object]


class DeviceConfigurationUpdated(Update):
    """A producer asks for a configuration. Exactly one DeviceConfigurationApplied or Rejected answers it."""

    configuration: DesiredConfiguration


class AppliedChange(Model):
    """One value that is another now."""

    path: str
    before: Number | Boolean = Field(alias="from")
    after: Number | Boolean = Field(alias="to")


class DeviceConfigurationApplied(DeviceFact):
    """An update is in force."""

    update_event_id: UUID
    update_revision: Integer
    config_version: Count
    changes: tuple[AppliedChange, ...]


class DeviceConfigurationRestored(DeviceFact):
    """The gateway's database was lost or is an older copy; an update applied before is in force again.

    The update keeps the answer that it has; DeviceDescribed tells what of it the site file still allows.
    """

    update_event_id: UUID
    update_revision: Integer
    config_version: Count = Field(description="In force again, as its DeviceConfigurationApplied told.")
    from_version: Integer = Field(description="In force until then, without cause; 0 = the site file alone.")
    reason: str = Field(description="An open list: database_restored.", examples=["database_restored"])


class Problem(Model):
    """One error of an update."""

    path: str = Field(description="As in the update's configuration, or the name of a field beside it.")
    # A plain string to readers here: a newer gateway may know more codes than this reader.
    code: str = Field(json_schema_extra={"enum": [code.value for code in Code]})
    message: str
    limit: Number | None = None


class DeviceConfigurationRejected(ControlFact):
    """An update is not in force, and why. Everything that is wrong with it is told."""

    update_event_id: UUID
    update_revision: Integer
    device_id: str | None = Field(description="Null where it could not be read.")
    config_version: Integer | None = Field(description="Null where it could not be read.")
    stage: Stage
    errors: tuple[Problem, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _know_the_ids(self) -> "DeviceConfigurationRejected":
        if self.stage is not Stage.READING and (self.device_id is None or self.config_version is None):
            raise ValueError("an update that could be read has its ids")
        return self
