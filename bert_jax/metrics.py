"""Statistics of an evaluation, on the host."""

import math

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def wilson(successes: float, n: float) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); all of [0, 1] of no trials."""
    if n == 0:
        return 0.0, 1.0
    share, spread = successes / n, Z95**2 / n
    centre = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = (centre - half) / (1 + spread), (centre + half) / (1 + spread)
    return max(0.0, low), min(1.0, high)
