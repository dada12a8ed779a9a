"""The Linux Virtual Server (IPVS) as a library."""

from lvs._lvs import Director, Drop, Forward, Pass, Reply
from lvs.exceptions import ClosedError, ConfigError, LvsError, RuleError

__all__ = [
    "ClosedError",
    "ConfigError",
    "Director",
    "Drop",
    "Forward",
    "LvsError",
    "Pass",
    "Reply",
    "RuleError",
]
