"""Raw and target pairs."""
