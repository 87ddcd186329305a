"""What a training step reads: pairs of raw and target radiographs as tensors."""
