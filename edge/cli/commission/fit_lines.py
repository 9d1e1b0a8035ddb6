"""Which packaged profiles fit what a serial device says by itself. Pure."""

from collections.abc import Sequence

from drivers.decoders.frame import FrameMalformed
from drivers.serial.offline import decode_bytes
from drivers.serial.options import SerialDeviceOptions
from edge.cli.commission.fit import Fit, best_first, good_values, published_count
from edge.domain.settings import DeviceSettings


def fits_of_words(heard: bytes, models: Sequence[DeviceSettings]) -> list[Fit]:
    """Return the models that understand what was heard, best first. The first line, mostly torn, is left out."""
    begin = max(heard.find(b"\n"), heard.find(b"\r"))
    whole = heard[begin + 1 :] if 0 <= begin < len(heard) - 1 else heard
    fits = []
    for model in models:
        assert isinstance(model.options, SerialDeviceOptions)
        if model.options.is_asked:
            continue
        try:
            readings = decode_bytes(model, whole)
        except FrameMalformed:
            continue
        found = len(good_values(model, readings))
        if found:
            fits.append(Fit(profile=model.id, evidence=found, points=published_count(model)))
    return best_first(fits)
