"""Same function, fewer bytes: one technique per file."""
