"""`scripts/check_gpu.py`: the claims of the READMEs that one GPU can check, and its speed."""

from tagsmith.bench.gpu.check_gpu import check_gpu, table

__all__ = ["check_gpu", "table"]
