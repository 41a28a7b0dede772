"""How many bytes of tensors are alive at once, by the allocator's own account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.autograd.profiler import profile


def peak_bytes(function: Callable[[], object]) -> int:
    """The most bytes that `function` had allocated at a time, beyond what there was before."""
    recorded: Any
    with profile(profile_memory=True, use_kineto=True) as recorded:
        kept = function()
    del kept
    results: Any = recorded.kineto_results
    events = [e for e in results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most
