"""What arrives: what is new in it, whether it is accepted, where it is kept if not."""
