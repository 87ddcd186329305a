"""albumentations without its question to the package index.

Importing it asks there for a newer version, for up to two seconds, and warns where no network is;
only this variable, set before the import, keeps it from that.
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A

__all__ = ["A"]
