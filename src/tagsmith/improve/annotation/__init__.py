"""Queues out to the tools in which people tag, and what people have said there in again."""
