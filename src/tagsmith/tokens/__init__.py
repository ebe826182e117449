"""From text to what the encoder reads: tokens, windows of them, batches."""
