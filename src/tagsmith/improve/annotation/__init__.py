"""Queues to annotation tools, and the answers of annotators back to tags."""
