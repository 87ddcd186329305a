"""The network, as plain modules: knows nothing of memory or placement."""
