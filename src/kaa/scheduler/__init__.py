"""The scheduler: which node a pod runs on. `framework.py` says what a plugin is, `loop.py` is the component.

The only room that uses numpy. Its columns are decided on with one thread: the pools that its libraries would start
cost memory and gain nothing on vectors of this size, so they are turned off before it is imported anywhere.
"""

import os

for _pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")
