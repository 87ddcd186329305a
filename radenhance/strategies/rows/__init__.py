"""The strategy that divides each image by rows over several processes."""
