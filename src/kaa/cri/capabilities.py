"""Linux capabilities, pure: the names, the default set, and what a security context makes of it."""

from collections.abc import Iterable, Sequence

NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
"""By number: the kernel's bit n is NAMES[n]."""

DEFAULT = frozenset(
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)
"""What a container has unless told otherwise: docker's set."""


def from_mask(mask: int) -> frozenset[str]:
    """The capabilities of a bit mask as in /proc/<pid>/status."""
    return frozenset(name for number, name in enumerate(NAMES) if mask >> number & 1)


def short_name(name: str) -> str:
    """`cap_sys_admin`, `SYS_ADMIN` and `CAP_SYS_ADMIN` are one. Raises ValueError for one that does not exist."""
    short = name.upper().removeprefix("CAP_")
    if short not in NAMES:
        raise ValueError(f'unknown capability "CAP_{short}"')
    return short


def granted(add: Sequence[str], drop: Sequence[str], possible: frozenset[str]) -> list[str]:
    """The container's capabilities as runc names them: `ALL` first, then what is added, then what is dropped.

    What the node itself lacks (`possible`) cannot be given, and is left out rather than refused.
    """
    chosen = set(DEFAULT)
    if "ALL" in map(str.upper, add):
        chosen = set(possible)
    if "ALL" in map(str.upper, drop):
        chosen = set()
    chosen |= {short_name(name) for name in add if name.upper() != "ALL"}
    chosen -= {short_name(name) for name in drop if name.upper() != "ALL"}
    return in_order(chosen & possible)


def in_order(names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [f"CAP_{name}" for name in NAMES if name in wanted]
