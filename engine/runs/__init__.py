"""Runs of a model: clean, corrupted, masked, edited, and their gradients."""
