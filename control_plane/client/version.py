"""The client's own version: that of its wheel, not of a server."""

__version__ = "0.1.0"
