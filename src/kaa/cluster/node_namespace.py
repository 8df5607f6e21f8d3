"""A node as namespaces of this machine: mount, pid, uts, ipc and network, held by one init.

The init (`catatonit -P`) reaps orphans and does nothing else. Containers are its descendants' children and their mounts
lie in its mount namespace, so when it ends, all of a node ends and unmounts with it. The node agent enters these
namespaces, and may die and come back while the containers go on.

`/run` is the node's own; the rest of the file system is the host's, with mounts made in the node not seen outside.
"""

import os
import select
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from kaa.cluster.processes import ProcessId
from kaa.cluster.spec import ClusterError, ClusterSpec, NodeSpec
from kaa.lib import libc

KINDS = ("mnt", "uts", "ipc", "net", "pid")
MS_SLAVE_REC = (1 << 19) | 16384
MS_SHARED_REC = (1 << 20) | 16384
PR_SET_NAME = 15


def init_file(spec: ClusterSpec, node: NodeSpec) -> Path:
    return spec.run / f"{node.name}.init"


def netns_path(init: ProcessId) -> str:
    return f"/proc/{init.pid}/ns/net"


def ensure_init(spec: ClusterSpec, node: NodeSpec) -> ProcessId:
    """The node's init, started if it does not run. Raises ClusterError with the step that failed."""
    running = ProcessId.load(init_file(spec, node))
    if running is not None:
        return running
    program = shutil.which("catatonit")
    if program is None:
        raise ClusterError("catatonit is missing; install it with: apt-get install catatonit")

    def become_init(_pipe: int) -> None:
        libc.mount("", "/", "", MS_SLAVE_REC)  # the host's later mounts are seen here, ours not there
        libc.mount("", "/", "", MS_SHARED_REC)  # so that volumes can propagate within the node
        libc.mount("proc", "/proc", "proc", 0)
        libc.mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
        socket.sethostname(node.name)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execv(program, [program, "-P"])

    flags = libc.CLONE_NEWNS | libc.CLONE_NEWUTS | libc.CLONE_NEWIPC | libc.CLONE_NEWNET | libc.CLONE_NEWPID
    pid = _fork_twice(lambda: libc.unshare(flags), become_init)
    init = ProcessId.of(pid)
    if init is None:
        raise ClusterError(f"the init of node {node.name} ended at once")
    init.save(init_file(spec, node))
    return init


def fork_inside(init: ProcessId, body: Callable[[], None]) -> int:
    """Forks a process inside the node's namespaces that runs `body`; returns its pid on the host.

    It is a child of this process if this is a subreaper, so that its end can be waited for.
    """

    def enter() -> None:
        # Opened first: once inside, /proc is the node's and does not know the host's numbers.
        fds = [(kind, os.open(f"/proc/{init.pid}/ns/{kind}", os.O_RDONLY)) for kind in KINDS]
        for _, fd in fds:
            libc.setns(fd)
            os.close(fd)
        os.chdir("/")

    def detached(pipe: int) -> None:
        os.close(pipe)
        body()

    return _fork_twice(enter, detached)


def _fork_twice(prepare: Callable[[], None], body: Callable[[int], None]) -> int:
    """Forks; the child runs `prepare` (which may choose the pid namespace of its children), forks `body` and ends.

    Returns the grandchild's pid as seen here. What fails before `body` replaces its process (closing the pipe, as any
    exec does) or closes the pipe itself comes back as ClusterError.
    """
    read_end, write_end = os.pipe()  # closed on exec
    child = os.fork()
    if child == 0:
        os.close(read_end)

        def work() -> None:
            prepare()
            _fork_body(body, write_end)

        _in_child(work, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        message = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    number, _, problem = message.partition("\n")
    if problem or not number:
        raise ClusterError(f"cannot start a process in the node's namespaces: {problem or 'it died'}")
    return int(number)


def _fork_body(body: Callable[[int], None], write_end: int) -> None:
    grandchild = os.fork()
    if grandchild:
        os.write(write_end, f"{grandchild}\n".encode())
        return
    os.setsid()
    _in_child(lambda: body(write_end), write_end)


def _in_child(work: Callable[[], object], write_end: int) -> None:
    """Runs the work and ends this process; a failure is told through the pipe."""
    code = 0
    try:
        work()
    except OSError as error:
        code = 1
        os.write(write_end, f"\n{error}".encode())
    finally:
        os._exit(code)


def end_init(spec: ClusterSpec, node: NodeSpec) -> None:
    """Ends the node: every process in it is killed by the kernel, every mount of it goes. Twice is once."""
    init = ProcessId.load(init_file(spec, node))
    if init is not None:
        fd = init.open()
        init.signal(signal.SIGKILL)
        if fd is not None:
            _wait_for_end(fd)
    init_file(spec, node).unlink(missing_ok=True)


def _wait_for_end(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(10_000)
    os.close(pidfd)


def set_process_name(name: str) -> None:
    """What `ps -o comm` and `top` show; at most 15 bytes."""
    libc.prctl(PR_SET_NAME, name.encode()[:15])
