"""The conventional enhancer that makes training targets, and the baselines beside it."""
