"""Activations that wait for the backward pass in host memory."""
