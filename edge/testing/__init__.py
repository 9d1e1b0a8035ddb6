"""What authors of drivers test with. Public API; DRIVERS.md shows it at work. No part of it is loaded by the daemon.

`site` makes settings of TOML text and a context, `conformance` has the tests that every driver must pass, and
`virtual_time` has a loop on which waiting takes no time.
"""
