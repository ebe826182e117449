"""HTTP faces of a Classifier, and nothing else: batches, jobs, wires, figures.

Needs the extra `serve`; no torch.
"""
