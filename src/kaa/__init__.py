"""Kaa: Kubernetes in Python, wire-compatible with v1.37.

The rooms and the direction of imports between them are in docs/ARCHITECTURE.md.
"""

__version__ = "0.1.0"

KUBERNETES_VERSION = "v1.37.2"
"""The upstream release whose wire behaviour this version follows; what `/version` answers as gitVersion's base."""
