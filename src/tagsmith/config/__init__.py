"""Typed settings of every stage, and their conversion from Hydra's composed config."""
