"""Simulations on tagged data: learning curves, and strategies for choosing the documents to tag."""
