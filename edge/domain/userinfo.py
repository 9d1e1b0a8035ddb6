"""User and password in a URI (RFC 3986, 3.2.1): found, and cut out of what is logged or shown."""

import re

# `scheme://user:password@host`: everything up to the last @ before the path. A password may hold an @ itself.
_USERINFO = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s]*@")


def holds_userinfo(text: str) -> bool:
    """Whether a text is or holds a URI with user or password in it."""
    return _USERINFO.search(text) is not None


def redact_userinfo(text: str) -> str:
    """Return the text as it may be logged or shown: without user and password of any URI in it."""
    return _USERINFO.sub(r"\g<scheme>…@", text)
