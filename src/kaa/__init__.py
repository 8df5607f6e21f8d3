"""Kaa: Kubernetes in Python, wire-compatible with v1.37.

The rooms and the direction of imports between them are in docs/ARCHITECTURE.md. `kaa.Cluster` is a whole cluster
in this process.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

KUBERNETES_VERSION = "v1.37.2"
"""The upstream release whose wire behaviour this version follows; what `/version` answers as gitVersion's base."""

_LAZY = {
    "Cluster": "kaa.cluster.simulation.cluster",
    "AsyncCluster": "kaa.cluster.simulation.cluster",
    "VirtualEventLoop": "kaa.lib.clock",
}
"""Name -> its module; their types are in `__init__.pyi`. `import kaa` itself loads nothing: who needs a version pays
for no cluster."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
