"""How many cores this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cores(cgroups: Path = CGROUPS) -> int:
    """Cores that this process may use; a container limited to 1.5 cores may use 2.

    Args:
        cgroups: folder in which Linux keeps the limits of the container.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Microseconds of core time per period, and the period: in one file (version 2) or in two (version 1).
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroups / name).read_text() for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                return min(available, math.ceil(int(quota) / int(period)))
        except (OSError, ValueError):
            continue  # Another version of cgroups, or "max": no limit.
    return available
