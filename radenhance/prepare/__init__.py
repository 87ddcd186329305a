"""The steps of `radenhance prepare`."""
