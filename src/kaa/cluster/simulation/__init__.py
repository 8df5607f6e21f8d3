"""A whole cluster in one event loop: the real API server, controllers and scheduler, and nodes that are simulated.

Nothing here is a model of Kubernetes: only sockets, processes and machines are left out.

    world            the server and its components as tasks; what a process table is to a machine
    component        one such task: a name, whom it speaks as, what it runs; with a clock of its own (component_clock)
    link             what lies between one component and the server; `faults` act there
    control_plane    which components there are; their keys are in `credentials`
    simulated_nodes  the real kubelet on a machine that is made up; light_nodes: one component for thousands of them
    images           what containers do: `behaviours`, or Python
    history          every change, with its time; `snapshot`: where another cluster can begin

How it is used:

    cluster          `Cluster`, for plain and for asynchronous code; `drivers` run its loop, `bridge` crosses to it
    everyday         apply, get, list, delete, wait, and time: what a test does with a cluster
    front_door       a TLS port and a kubeconfig, for everybody else's clients
    exploration      many seeds against `invariants`
    recording        `kaa record` and `kaa replay`, of any cluster
"""
