"""The grammar of the .circ language, as a Lark file."""
