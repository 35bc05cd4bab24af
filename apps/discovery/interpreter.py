"""How Python's interpreter is set where frames are folded: for many objects in no cycle, and for three threads."""

from __future__ import annotations

import gc
import sys

# A batch is tens of thousands of rows, none of them in a cycle: looking through them every 700 objects, Python's usual
# threshold, cost up to a tenth of the time.
COLLECT_AFTER = 100_000
# So long may a thread compute while another waits for the interpreter's lock. Folding computes all the time; with
# Python's usual 5 ms the receiving thread and the writer's come to their turn late, and PostgreSQL waits with them.
SWITCH_SECONDS = 0.0005


def interpreter_set() -> None:
    """Set it so for this process."""
    gc.set_threshold(COLLECT_AFTER, 20, 20)
    sys.setswitchinterval(SWITCH_SECONDS)
