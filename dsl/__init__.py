"""From source text to a checked program: text, checks, declarations, codes."""
