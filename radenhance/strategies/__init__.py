"""Where the network runs: whole, or encoder and decoder apart, under any LightningModule."""

from radenhance.strategies.encoder_decoder import EncoderDecoderStrategy
from radenhance.strategies.fully_sharded import FullyShardedStrategy

__all__ = ["EncoderDecoderStrategy", "FullyShardedStrategy"]
