"""Models: loading them, where their parts are, and the guards that test it."""
