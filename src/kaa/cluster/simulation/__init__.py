"""A whole cluster in one event loop: the real API server, controllers and scheduler, and nodes that are simulated.

    world.py      the server and its components as tasks; what a process table is to a machine
    component.py  one such task: a name, whom it speaks as, and what it runs
    link.py       what lies between one component and the server
    everyday.py   apply, get, list, delete, wait ...: what a test does with a cluster
    cluster.py    `Cluster`, which runs all this from plain or from asynchronous code

Nothing here is a model of Kubernetes: only sockets, processes and machines are left out.
"""
