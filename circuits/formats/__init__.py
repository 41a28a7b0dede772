"""File formats of circuits and scores: our own, and those of other tools."""
