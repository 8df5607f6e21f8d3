"""The types of what `kaa` loads lazily. Not in the module itself: to the import contracts it would be an import."""

from kaa.cluster.simulation.cluster import AsyncCluster as AsyncCluster
from kaa.cluster.simulation.cluster import Cluster as Cluster
from kaa.lib.clock import VirtualEventLoop as VirtualEventLoop

__version__: str
KUBERNETES_VERSION: str
