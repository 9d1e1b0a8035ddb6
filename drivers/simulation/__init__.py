"""A greenhouse that is not there, and servers that show it over real wires."""

from drivers.simulation.demo import render_demo_site

__all__ = ["render_demo_site"]
