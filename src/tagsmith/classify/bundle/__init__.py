"""The exported folder: its contents, and the golden answers that check it."""
