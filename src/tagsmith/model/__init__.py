"""Encoder, pooling and head; scoring documents; vectors before training; devices and processes."""
