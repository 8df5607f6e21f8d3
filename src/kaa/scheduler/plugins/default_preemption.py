"""DefaultPreemption: see `preemption.py`."""

from kaa.scheduler.framework import Plugin
from kaa.scheduler.preemption import preempt

PLUGIN = Plugin(name="DefaultPreemption", post_filter=preempt)
