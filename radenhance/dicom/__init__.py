"""Files: what a scanner wrote, and what we write back. Imports neither torch nor lightning."""
