"""Where a LightningModule's network runs: on each device, sharded, or encoder | decoder."""

from radenhance.strategies.encoder_decoder.strategy import EncoderDecoderStrategy
from radenhance.strategies.replicated import ReplicatedStrategy
from radenhance.strategies.sharded import FullyShardedStrategy

__all__ = ["EncoderDecoderStrategy", "FullyShardedStrategy", "ReplicatedStrategy"]
