"""What each command of `radenhance` does; `radenhance.cli` finds it."""
