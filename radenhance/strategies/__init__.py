"""Where a LightningModule's network runs: sharded, or encoder and decoder on two devices."""

from radenhance.strategies.encoder_decoder.strategy import EncoderDecoderStrategy
from radenhance.strategies.sharded import FullyShardedStrategy

__all__ = ["EncoderDecoderStrategy", "FullyShardedStrategy"]
