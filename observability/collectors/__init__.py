"""Look at real components through drivers, and judge what was seen."""

from observability.collectors.judgement import judge
from observability.collectors.watch import Watch, looks

__all__ = ["Watch", "judge", "looks"]
