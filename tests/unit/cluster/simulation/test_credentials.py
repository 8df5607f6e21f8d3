"""The keys of this process's clusters."""

import subprocess
import sys

MANY_AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from kaa.cluster.simulation.credentials import process_credentials

ready = Barrier(8)

def made(_):
    ready.wait()
    return process_credentials()

with ThreadPoolExecutor(8) as pool:
    print(len({id(credentials) for credentials in pool.map(made, range(8))}))
"""


def test_threads_share_them() -> None:
    """Clusters that start at once trust the same authority: a certificate of the one made later is not a stranger's.

    In a process of its own, since they are made once in each.
    """
    done = subprocess.run([sys.executable, "-c", MANY_AT_ONCE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "1\n"
