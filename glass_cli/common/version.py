"""The version of glass, which results say they were made with."""

__version__ = "0.2.0"
