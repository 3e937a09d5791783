"""glass: align flow and diffusion models at inference time."""

__version__ = "0.2.0"
