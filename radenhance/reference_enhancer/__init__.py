"""The steps of the reference enhancer."""
