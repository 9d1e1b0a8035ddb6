"""The JSON Schemas of site files and profiles, for editors: from the same classes that read them.

What types cannot say (limits, what goes together) is said by `check` alone.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from edge.domain.device_group import ID_TEMPLATE_PATTERN
from edge.domain.driver import DriverKind
from edge.domain.event import Json
from edge.domain.identifier import IDENTIFIER_PATTERN
from edge.domain.quantity import OWN_QUANTITY_PATTERN, QUANTITIES
from edge.domain.settings import EventStoreSettings, OutboxSettings, SiteSettings, StreamTemplates
from edge.settings.adapt import adapter_of
from edge.settings.group import knows_groups
from edge.settings.profile import RAW_OFFSET
from edge.settings.tables import (
    SITE_POINT_KEYS,
    ConnectionTable,
    DeviceTable,
    GatewayTable,
    GroupTable,
    LineTable,
    PointTable,
    ProfileTable,
)

Schema: TypeAlias = dict[str, Json]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID: Schema = {"type": "string", "pattern": IDENTIFIER_PATTERN}


def site_schema(kinds: Mapping[str, DriverKind]) -> Schema:
    """Return the schema of a site file, for these drivers."""
    definitions: Schema = {}
    properties: Schema = {
        "site": _table(SiteSettings, definitions, id=_ID),
        "gateway": _table(GatewayTable, definitions, id=_ID),
        "event_store": _table(EventStoreSettings, definitions),
        "outbox": _table(OutboxSettings, definitions),
        "streams": _table(StreamTemplates, definitions),
        "connection": _array({"oneOf": [_connection(kind, definitions) for kind in kinds.values()]}),
    }
    schema = _object("A site of greenhouse-edge.", properties, ("site", "event_store"))
    return {"$schema": _DIALECT, **schema, "$defs": definitions}


def profile_schema(kinds: Mapping[str, DriverKind]) -> Schema:
    """Return the schema of a profile, for these drivers."""
    definitions: Schema = {}
    profiles = [_profile(kind, definitions) for kind in kinds.values()]
    return {"$schema": _DIALECT, "description": "A device model.", "oneOf": profiles, "$defs": definitions}


def _connection(kind: DriverKind, definitions: Schema) -> Schema:
    point = _merged(
        "A point over its profile.", PointTable, kind.point_options, kind, definitions, quantity=_quantity(definitions)
    )
    device = _merged("One device.", DeviceTable, kind.device_options, kind, definitions, id=_ID, point=_points(point))
    # What the site file leaves out may come from the profile.
    device["required"] = ["id"]
    point.pop("required", None)
    driver: Schema = {"const": kind.name}
    connection = _merged(
        kind.title,
        ConnectionTable,
        kind.connection_options,
        kind,
        definitions,
        id=_ID,
        driver=driver,
        device=_array(device),
    )
    if knows_groups(kind):
        _properties(connection)["device_group"] = _array(_group(device, definitions))
    return connection


def _group(device: Schema, definitions: Schema) -> Schema:
    """A device's keys, and those that make many of it."""
    own = _properties(_table(GroupTable, definitions))
    own["except"] = own.pop("exclude")
    own["id"] = {"type": "string", "pattern": ID_TEMPLATE_PATTERN}
    return _object("Many devices of one kind.", {**_properties(device), **own}, ["id"])


def _profile(kind: DriverKind, definitions: Schema) -> Schema:
    device = _properties(_table(kind.device_options, definitions, kind.name))
    line = _properties(_table(LineTable, definitions))
    ours = _properties(_table(DeviceTable, definitions))
    timing = {key: ours[key] for key in ("poll_interval_min_s", "warm_up_s", "max_silence_s")}
    point = _merged("One point.", PointTable, kind.point_options, kind, definitions, quantity=_quantity(definitions))
    inner = _properties(point)
    own = {key: value for key, value in inner.items() if key not in {*SITE_POINT_KEYS, RAW_OFFSET, "offset"}}
    if RAW_OFFSET in inner:
        own["offset"] = inner[RAW_OFFSET]
    properties: Schema = {
        "profile": _table(ProfileTable, definitions, id=_ID, driver={"const": kind.name}),
        "defaults": _object("What the factory set.", {**device, **line}),
        "timing": _object("How often, how fast.", {**device, **timing}),
        "read": _object("How much in one request.", device),
        "exchange": _object("What is said and answered on a serial line.", device),
        "message": _object("What a message is.", device),
        # A device at a site may complete what the profile leaves open.
        "point": _points({**point, "properties": own, "required": []}),
    }
    return _object(kind.title, properties, ("profile",))


def _merged(
    description: str, ours: type, options: type, kind: DriverKind, definitions: Schema, **replaced: Schema
) -> Schema:
    """Our keys and the driver's in one table."""
    first = _table(ours, definitions)
    second = _table(options, definitions, kind.name)
    required = [*_required(first), *_required(second)]
    return _object(description, {**_properties(first), **_properties(second), **replaced}, required)


def _table(data_class: type, definitions: Schema, namespace: str = "", **replaced: Schema) -> Schema:
    """Return the schema of one class; what it refers to goes into the definitions."""
    # Two drivers may each have a class called Fault.
    prefix = f"{namespace}." if namespace else ""
    schema: Schema = adapter_of(data_class).json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    inner = schema.pop("$defs", {})
    assert isinstance(inner, Mapping)
    definitions.update({f"{prefix}{name}": _plain(item) for name, item in inner.items()})
    plain = _plain(schema)
    assert isinstance(plain, dict)
    return _object(str(plain.get("description", "")), {**_properties(plain), **replaced}, _required(plain))


def _plain(schema: Json) -> Json:
    """Leave out what is useless to an author of TOML: generated titles, and null, which TOML lacks."""
    if not isinstance(schema, Mapping):
        return schema
    plain: Schema = {key: value for key, value in schema.items() if key != "title"}
    if isinstance(properties := plain.get("properties"), Mapping):
        plain["properties"] = {key: _plain(value) for key, value in properties.items()}
    if isinstance(items := plain.get("items"), Mapping):
        plain["items"] = _plain(items)
    if plain.get("default", ...) is None:
        del plain["default"]
    if isinstance(branches := plain.get("anyOf"), list):
        left = [_plain(branch) for branch in branches if branch != {"type": "null"}]
        plain["anyOf"] = left
        if len(left) == 1 and isinstance(left[0], Mapping):
            del plain["anyOf"]
            plain = {**left[0], **plain}
    return plain


def _properties(schema: Schema) -> Schema:
    properties = schema.get("properties", {})
    assert isinstance(properties, dict)
    return properties


def _required(schema: Schema) -> list[str]:
    required = schema.get("required", [])
    assert isinstance(required, list)
    return required


def _object(description: str, properties: Schema, required: Iterable[str] = ()) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if description:
        schema = {"description": description, **schema}
    names = list(required)
    return {**schema, "required": names} if names else schema


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _points(point: Schema) -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": IDENTIFIER_PATTERN},
        "additionalProperties": point,
    }


def _quantity(definitions: Schema) -> Schema:
    definitions["Quantity"] = {
        "anyOf": [{"enum": list(QUANTITIES)}, {"type": "string", "pattern": OWN_QUANTITY_PATTERN}]
    }
    return {"$ref": "#/$defs/Quantity"}
