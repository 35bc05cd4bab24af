"""Metrics of many processes in one folder (`PROMETHEUS_MULTIPROC_DIR`); known before Django is.

Every process maps files of its own, named by host and process id: in containers every process may have the id 1.
"""

import os
import socket
from pathlib import Path

HOST = socket.gethostname().replace("_", "-")


def process_identity() -> str:
    """What distinguishes this process from all others that write to the folder."""
    return f"{HOST}-{os.getpid()}"


def multiprocess_start(folder: Path) -> None:
    """Make `prometheus_client` write to `folder`; call it before the first metric is made."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(process_identity)


def forget_dead(folder: Path) -> None:
    """Remove the live gauges of processes of this host that have ended (their counters go on counting)."""
    for file in folder.glob(f"gauge_live*_{HOST}-*.db"):
        pid = file.stem.rpartition("-")[2]
        if pid.isdigit() and not _is_alive(int(pid)):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
