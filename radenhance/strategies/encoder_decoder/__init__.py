"""Encoder and decoder of a U-Net on two devices."""
