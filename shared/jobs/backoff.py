"""How long to wait before the next try."""

import random


def full_jitter_s(failures: int, *, base_s: float, cap_s: float) -> float:
    """Return a random delay in seconds below `min(cap_s, base_s * 2**(failures - 1))`.

    "Full jitter" of Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015): spreads those that
    failed together over the whole interval. At least a tenth of the bound, so that a retry never is immediate.
    """
    bound_s = min(cap_s, base_s * 2.0 ** min(failures - 1, 30))
    return random.uniform(bound_s / 10, bound_s)  # noqa: S311  # spreads load, guards no secret
