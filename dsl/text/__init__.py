"""From characters to a syntax tree, and how errors are shown."""
