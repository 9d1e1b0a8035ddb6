"""The address of a broker, its certificates, and our user and password."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from drivers.mqtt.options import PORTS, MqttConnectionOptions
from edge.domain.driver import DriverContext, DriverMisconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A broker's place in the network."""

    host: str
    port: int
    is_encrypted: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_this_machine(self) -> bool:
        """Whether nothing that is sent leaves the machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def address(options: MqttConnectionOptions) -> Address:
    """Return the address of options without mistakes."""
    parts = urlsplit(options.url)
    assert parts.hostname is not None
    return Address(
        host=parts.hostname,
        port=PORTS[parts.scheme] if parts.port is None else parts.port,
        is_encrypted=parts.scheme == "mqtts",
    )


def user_and_password(options: MqttConnectionOptions, context: DriverContext) -> tuple[str, str] | None:
    """Look up our user and password; None: no user. Raises DriverMisconfigured."""
    if options.credential is None:
        return None
    user, separator, password = context.credential(options.credential).partition(":")
    if not separator or not user:
        raise DriverMisconfigured(
            f"the credential {options.credential!r} must be user:password (the password may be empty)"
        )
    return user, password


def tls_context(options: MqttConnectionOptions, folder: Path) -> ssl.SSLContext:
    """Read the certificates. Raises DriverMisconfigured if a file is not what it should be."""
    context = ssl.create_default_context()
    if options.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(folder / options.ca_file)
        except (OSError, ValueError) as error:
            raise DriverMisconfigured(f"ca_file {options.ca_file} cannot be used: {error}") from error
    if options.client_certificate is not None:
        key = None if options.client_key is None else folder / options.client_key
        try:
            # A key with a pass phrase would be asked for at the terminal, and a daemon has none.
            context.load_cert_chain(folder / options.client_certificate, key, password="")
        except (OSError, ValueError) as error:
            raise DriverMisconfigured(
                f"client_certificate {options.client_certificate} with its key cannot be used: {error}"
            ) from error
    return context
