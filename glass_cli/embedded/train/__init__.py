"""Trains all that is embedded; run ``python -m glass_cli.embedded.train --help``."""
