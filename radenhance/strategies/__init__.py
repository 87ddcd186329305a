"""Where a LightningModule's network runs: on each device, sharded, encoder | decoder, by rows."""

from radenhance.strategies.encoder_decoder.strategy import EncoderDecoderStrategy
from radenhance.strategies.replicated import ReplicatedStrategy
from radenhance.strategies.rows.strategy import RowsStrategy
from radenhance.strategies.sharded import FullyShardedStrategy

__all__ = ["EncoderDecoderStrategy", "FullyShardedStrategy", "ReplicatedStrategy", "RowsStrategy"]
