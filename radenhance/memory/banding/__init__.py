"""Decoder stages and stem in bands of rows: the same function, few rows at a time (`README.md`)."""
