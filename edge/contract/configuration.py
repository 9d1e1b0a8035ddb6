"""What a producer asks for. Everything else that is published is written by the gateway: `edge.domain.facts`."""

from pydantic import ConfigDict, Field

from edge.contract.model import Boolean, Count, ForeignTimestamp, Identifier, Integer, Model, Number


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
