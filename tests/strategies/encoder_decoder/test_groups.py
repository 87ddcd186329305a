"""Which process does what."""

from radenhance.strategies.encoder_decoder.groups import name_of, stage_of


def test_every_pipeline_has_a_decoder_and_then_an_encoder():
    assert [stage_of(rank) for rank in range(4)] == ["decoder", "encoder"] * 2
    assert name_of(3) == "the encoder (rank 3)"
