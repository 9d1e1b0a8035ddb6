"""The edge gateway of a greenhouse."""

__version__ = "0.1.0"
