"""Training for int8 inference, with activations kept in a byte each (`README.md`)."""
