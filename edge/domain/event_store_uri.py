"""The event store's URI, checked before anything connects: a wrong one would be tried without end."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qsl, urlsplit

# The product has two names, the wire is the same. `+discover` asks one name for all nodes.
_SCHEMES = {f"{name}{form}" for name in ("esdb", "kurrentdb") for form in ("", "+discover")}
# Options in small letters: their case means nothing.
_NUMBERS = {
    "maxdiscoverattempts",
    "discoveryinterval",
    "gossiptimeout",
    "defaultdeadline",
    "keepaliveinterval",
    "keepalivetimeout",
}
_TEXTS = {"connectionname", "tlscafile", "usercertfile", "userkeyfile"}
# Options with one value that works, and why no other does.
_FIXED = {
    "nodepreference": (
        "leader",
        "must not prefer another node than the leader (nodePreference): no other one takes appends",
    ),
    "tlsverifycert": ("true", "has tlsVerifyCert=false, which has no effect: name the authority with ca_file"),
}


def uri_mistakes(uri: str) -> Iterator[str]:
    """Say what keeps a URI from being used, in sentences that begin with `uri`."""
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme not in _SCHEMES:
        yield "uri must start with esdb:// or esdb+discover:// (kurrentdb:// is the same)"
        return
    parts = _split(uri)
    if parts is None:
        yield "uri is not a URI: write it like esdb://central.example:2113"
        return
    yield from _target_mistakes(parts)
    options = parse_qsl(parts.query)
    for option, value in options:
        yield from _option_mistakes(option, value)
    names = [option.lower() for option, _ in options]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"uri has the option {name} {names.count(name)} times; which one counts?"


def needs_credential(uri: str) -> bool:
    """Whether a server at this URI asks for user and password: with TLS it always does, and TLS is the default."""
    parts = _split(uri)
    return parts is not None and parts.username is None and is_encrypted(uri)


def is_encrypted(uri: str) -> bool:
    """Whether what goes to this URI goes through TLS."""
    parts = _split(uri)
    return parts is None or ("tls", "false") not in parse_qsl(parts.query.lower())


def _split(uri: str) -> SplitResult | None:
    try:
        return urlsplit(uri)
    except ValueError:
        return None


def _target_mistakes(parts: SplitResult) -> Iterator[str]:
    targets = [target.strip() for target in parts.netloc.rpartition("@")[2].split(",")]
    if targets == [""]:
        yield "uri names no server: write it like esdb://central.example:2113"
        return
    if len(targets) > 1 and parts.scheme.endswith("+discover"):
        yield "uri names several servers: with +discover one name stands for all nodes; without it, name all"
    for target in targets:
        if not _is_target(target):
            yield f"uri names the server {target!r}; write HOST:PORT, an IPv6 address in brackets and with its port"
    if parts.path not in {"", "/"} or parts.fragment:
        yield "uri must end with the server's name and port, or with options after ?"


def _is_target(target: str) -> bool:
    """Whether this is a host with a port, or a host alone: the port is 2113 then."""
    host, colon, port = target.rpartition(":")
    if host.startswith("["):
        return host.endswith("]") and _is_ipv6(host[1:-1]) and _is_port(port)
    host = host if colon else target
    return bool(host) and ":" not in host and not any(map(str.isspace, host)) and (not colon or _is_port(port))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535


def _option_mistakes(option: str, value: str) -> Iterator[str]:
    name = option.lower()
    if name == "tls":
        if value.lower() not in {"true", "false"}:
            yield f"uri has {option}={value}; it must be true or false"
    elif name in _NUMBERS:
        # As long a number as anyone would wait; more digits are a slip, too.
        if not (value.isascii() and value.isdecimal() and len(value) < 10 and int(value) > 0):
            yield f"uri has {option}={value}; it must be a whole number above 0"
    elif name in _FIXED:
        works, sentence = _FIXED[name]
        if value.lower() != works:
            yield f"uri {sentence}"
    elif name not in _TEXTS:
        yield f"uri has the option {option!r}, which does not exist"
