"""Stages that PyTorch's compiler turns into fewer kernels, and into fewer kept activations."""
