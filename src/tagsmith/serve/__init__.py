"""HTTP interfaces of a Classifier: batching, asynchronous jobs, wire formats, metrics.

Needs the extra `serve`, and no torch.
"""
