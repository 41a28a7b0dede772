"""From prompts to tokens: datasets, where their slots are, and their corrupted versions. No torch here."""
