"""From the option `decoder` to the decoder itself, and what the driver has to know about each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.decoders.dialogue import Fields
from drivers.decoders.ezo import EzoDecoder
from drivers.decoders.frame import FrameDecoder, FrameMalformed
from drivers.decoders.line_frames import excerpt, text_of_line
from drivers.decoders.lines import LineDecoder
from drivers.decoders.mhz19 import REQUEST, Mhz19Decoder
from drivers.decoders.nmea import NmeaDecoder
from drivers.decoders.plantower import PlantowerDecoder
from drivers.decoders.scale import ScaleDecoder
from drivers.decoders.sdi12 import Sdi12Decoder
from drivers.decoders.wxt import WxtDecoder
from drivers.serial.options import Decoder, SerialDeviceOptions

# Whose answers begin with the address that was asked.
ADDRESSED: frozenset[Decoder] = frozenset({"sdi12", "wxt"})


def _lines(options: SerialDeviceOptions) -> FrameDecoder:
    return LineDecoder(
        layout=options.layout, separator=options.separator, pattern=options.pattern, terminator=options.terminator
    )


_DECODERS: Mapping[Decoder, Callable[[SerialDeviceOptions], FrameDecoder]] = {
    "lines": _lines,
    "nmea": lambda _options: NmeaDecoder(),
    "ezo": lambda _options: EzoDecoder(),
    "sdi12": lambda options: Sdi12Decoder(address=options.address, needs_checksum=options.command[1:2] == "C"),
    "mhz19": lambda _options: Mhz19Decoder(),
    "plantower": lambda _options: PlantowerDecoder(),
    "scale": lambda options: ScaleDecoder(terminator=options.terminator),
    "wxt": lambda _options: WxtDecoder(),
}


def create_decoder(options: SerialDeviceOptions) -> FrameDecoder:
    """Make a device's decoder."""
    return _DECODERS[options.decoder](options)


def request_of(options: SerialDeviceOptions) -> bytes:
    """Return the bytes of `ask`, its placeholders as they are."""
    if options.decoder == "mhz19" and not options.ask:
        return REQUEST
    return options.ask.encode("latin-1")


def is_positional(options: SerialDeviceOptions) -> bool:
    """Whether a value is known only by its place: a lost separator would give each later value another's meaning."""
    return options.decoder in {"ezo", "sdi12"} or (options.decoder == "lines" and options.layout == "csv")


@dataclass(frozen=True, slots=True)
class FrameReader:
    """Reads the wanted fields of a device's frames."""

    decoder: FrameDecoder
    wanted: frozenset[str]
    is_positional: bool
    # What a frame must begin with; b"" = anything.
    address: bytes

    def fields(self, frame: bytes) -> Fields:
        """Return the wanted fields of a frame.

        Raises FrameMalformed; also for a frame that another address sent, and for one of numbered values that does not
        hold all that are wanted.
        """
        fields: Fields = self.decoder.fields(frame)
        if fields and not frame.startswith(self.address):
            raise FrameMalformed(f"{_quoted(frame)} comes from another address than {self.address.decode()}")
        missing = self.wanted - fields.keys()
        if fields and missing and self.is_positional:
            raise FrameMalformed(f"{_quoted(frame)} holds {len(fields)} values; {_numbers(missing)} is not among them")
        return {name: field for name, field in fields.items() if name in self.wanted}


def frame_reader(options: SerialDeviceOptions, wanted: frozenset[str]) -> FrameReader:
    """Make the reader of a device's frames. What SDI-12 says, its decoder compares with the address itself."""
    address = options.address.encode("latin-1") if options.decoder == "wxt" and "{address}" in options.ask else b""
    return FrameReader(create_decoder(options), wanted, is_positional(options), address)


def _quoted(frame: bytes) -> str:
    return excerpt(text_of_line(frame))


def _numbers(missing: frozenset[str]) -> str:
    return "number " + ", ".join(sorted(missing, key=lambda name: (len(name), name)))
