"""The demo's site file: a template in the package, filled in here."""

from importlib.resources import files

# The template's only placeholder.
EVENT_STORE_URI = "{event_store_uri}"
# Where `greenhouse-edge event-store` listens by default.
EVENT_STORE_URI_DEFAULT = "esdb://127.0.0.1:2113?tls=false"
# Where the template's last part begins.
RADIO = "\n# ---------------------------------------------------------------- radio"


def render_demo_site(*, event_store_uri: str = EVENT_STORE_URI_DEFAULT, has_radio: bool = True) -> str:
    """Return the demo's site file. Its hosts are pretended ones: `simulate --write` puts its own in their place.

    `has_radio`: with its MQTT devices; they need a broker.
    """
    template = (files("drivers") / "simulation" / "demo.toml").read_text(encoding="utf-8")
    if not has_radio:
        template = template.partition(RADIO)[0]
    # Not str.format: TOML's own tables have braces.
    return template.replace(EVENT_STORE_URI, event_store_uri)
