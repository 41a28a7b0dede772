"""Circuits and scores in files: ours, and those of the field."""
