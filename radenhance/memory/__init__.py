"""Same function, fewer bytes: `techniques.py` folds one `Technique` per file or folder."""
