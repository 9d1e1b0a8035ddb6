"""A first look at a serial port that no file describes: which packaged profiles understand what is said there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drivers.decoders.frame import FrameMalformed
from drivers.decoders.sdi12 import ADDRESS, ANY_ADDRESS
from drivers.serial.by_hand import decode_bytes
from drivers.serial.options import SerialConnectionOptions, SerialDeviceOptions
from drivers.serial.port import Port
from drivers.serial.scan import EZO_INFORMATION, ask, identity_of, listen, quiet_port, text_of
from edge.domain.commissioning import DraftConnection, DraftDevice, Look
from edge.domain.fit import Fit, best_first, fit_of, guessed
from edge.domain.settings import DeviceSettings

# An EZO circuit identifies itself within 0.3 s, an SDI-12 sensor within 0.5 s.
ANSWER_TIMEOUT_S = 1.5


@dataclass(frozen=True, kw_only=True)
class PortFound:
    """What is at a serial port."""

    # Profiles that understand it, best first.
    fits: Sequence[Fit] = ()
    # What it said, shortened; empty = nothing.
    words: str = ""
    # Of an SDI-12 sensor.
    address: str = ""


async def look_at_port(
    draft: DraftConnection, options: SerialConnectionOptions, seconds: float, look: Look
) -> DraftConnection:
    """Listen at a port; where nothing is understood, ask for an EZO circuit and an SDI-12 sensor.

    Raises ConnectionLost, DriverMisconfigured.
    """
    models = look.models()
    heard = b""
    async with quiet_port(options, look.context) as port:
        async for part in listen(port, seconds):
            heard += part
            look.tick()
        fits = fits_of_words(heard, models)
        found = PortFound(fits=fits, words=text_of(heard)) if fits else await _who_is_there(port, heard, models)
    return with_instrument(draft, options.serial_port, found, look)


async def _who_is_there(port: Port, heard: bytes, models: Sequence[DeviceSettings]) -> PortFound:
    said = text_of(await ask(port, EZO_INFORMATION, ANSWER_TIMEOUT_S))
    found = _circuit(said, models) or await _sdi12_sensor(port)
    return found or PortFound(words=said or text_of(heard))


def with_instrument(draft: DraftConnection, port: str, found: PortFound, look: Look) -> DraftConnection:
    """Add the device of a port if some profile understands it, or else what it said."""
    if found.address:
        draft = replace(draft, example={"id": "row1-slab", "profile": "meter-teros-12", "address": found.address})
    fit = look.choose(port, found.fits) if found.fits else None
    if fit is None:
        return replace(draft, comments=[f"It said: {found.words}"] if found.words else [])
    comment = guessed(fit, found.fits) if fit.evidence else f"guessed: it says {found.words}"
    device = DraftDevice(keys={"id": look.new_id(fit.profile), "profile": fit.profile}, comments=[comment])
    return replace(draft, devices=[device])


def fits_of_words(heard: bytes, models: Sequence[DeviceSettings]) -> list[Fit]:
    """Return the models that understand what was heard, best first. The first line, mostly torn, is left out."""
    begin = max(heard.find(b"\n"), heard.find(b"\r"))
    whole = heard[begin + 1 :] if 0 <= begin < len(heard) - 1 else heard
    return best_first(fit for fit in (_fit(model, whole) for model in models) if fit is not None)


def _fit(model: DeviceSettings, heard: bytes) -> Fit | None:
    assert isinstance(model.options, SerialDeviceOptions)
    if model.options.is_asked:
        return None
    try:
        return fit_of(model, decode_bytes(model, heard))
    except FrameMalformed:
        return None


def _circuit(said: str, models: Sequence[DeviceSettings]) -> PortFound | None:
    """Return the EZO circuit that answered."""
    question, _, rest = said.partition(",")
    if question.upper() != "?I":
        return None
    profile = f"ezo-{rest.partition(',')[0].lower()}"
    return PortFound(
        fits=[Fit(profile=model.id, evidence=0, points=1) for model in models if model.id == profile], words=said
    )


async def _sdi12_sensor(port: Port) -> PortFound | None:
    """Return the SDI-12 sensor that answered; several on one bus answer at once, and none can be read."""
    question = f"{ANY_ADDRESS}!".encode()
    # An adapter may have kept the question before, and send both as one.
    said = await ask(port, question, ANSWER_TIMEOUT_S) or await ask(port, question, ANSWER_TIMEOUT_S)
    address = text_of(said)
    if ADDRESS.fullmatch(address) is None:
        return None
    identity = identity_of(await ask(port, f"{address}I!".encode(), ANSWER_TIMEOUT_S))
    return PortFound(words=f"SDI-12 address {address}: {identity}", address=address)
