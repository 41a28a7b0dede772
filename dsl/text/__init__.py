"""From characters to a syntax tree, and how what is wrong is shown."""
