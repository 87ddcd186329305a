"""Every flag of `radenhance fit`, read and not run."""
