"""The methods of the papers, each under its own name."""
