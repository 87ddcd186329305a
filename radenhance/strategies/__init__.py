"""Where the network runs: whole, or encoder and decoder apart, under any LightningModule."""

from radenhance.strategies.encoder_decoder.strategy import EncoderDecoderStrategy
from radenhance.strategies.sharded import FullyShardedStrategy

__all__ = ["EncoderDecoderStrategy", "FullyShardedStrategy"]
