"""Is the data right?  A dataset looked at before it trains."""
