"""From source text to a checked program: parser, diagnostics, schema, checker."""
