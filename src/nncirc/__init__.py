"""nncirc: a declarative language and engine for transformer circuits."""

__version__ = "0.1.0"
