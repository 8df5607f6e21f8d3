"""The printer columns of the built-in kinds: what `kubectl get` shows, cell by cell, a file a theme.

A cell is a plain function of the object and the time. The texts are upstream's, because people's scripts read them.
"""

from kaa.api.printing import cluster, network, pods, policy, storage, workloads

__all__ = ["cluster", "network", "pods", "policy", "storage", "workloads"]
