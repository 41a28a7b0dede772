"""The scripts that made the models of the package. No module of the package imports them."""

from pathlib import Path

MODELS = Path(__file__).parents[1] / "circuits" / "models"
"""Where the bundled models lie."""
