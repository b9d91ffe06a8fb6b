"""One run, from its first word to its record."""
