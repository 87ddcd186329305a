"""Where the network runs: encoder and decoder on two devices, under any LightningModule."""

from radenhance.strategies.encoder_decoder import EncoderDecoderStrategy

__all__ = ["EncoderDecoderStrategy"]
