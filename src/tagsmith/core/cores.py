"""How many cores this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cores(cgroups: Path = CGROUPS) -> int:
    """Cores that this process may use, the time of a container among them: 2 where it may use 1.5 at a time.

    Args:
        cgroups: where Linux keeps the limits of the container.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Microseconds of a core in each period, then the period: of version 2 in one file, of version 1 in two.
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroups / name).read_text() for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                return min(there, math.ceil(int(quota) / int(period)))
        except (OSError, ValueError):
            continue  # Not of this version, or "max": no limit.
    return there
