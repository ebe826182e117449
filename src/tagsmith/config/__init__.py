"""Typed settings of every stage, and the door through which Hydra's config becomes them."""
