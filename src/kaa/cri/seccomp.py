"""The seccomp profile that RuntimeDefault means here, pure.

Everything is allowed except a list, and what is on it is allowed again to containers with the capability it belongs
to. Docker's default is the reverse, a list of some 350 allowed calls; it keeps out the same calls, and system calls
younger than the list too, which ours does not: `unsupported` is said here rather than found out. Flags that make
namespaces are refused to `clone`; `clone3` hides its flags in memory, so it "does not exist" and libc uses `clone`.
"""

from collections.abc import Collection
from typing import Any

EPERM = 1
ENOSYS = 38
NAMESPACE_FLAGS = 0x7E02_0000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}

_REFUSED = [
    "add_key",
    "keyctl",
    "request_key",
    "kexec_file_load",
    "kexec_load",
    "create_module",
    "delete_module",
    "init_module",
    "finit_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "sysfs",
    "_sysctl",
    "uselib",
    "ustat",
    "userfaultfd",
    "vm86",
    "vm86old",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
]
"""Refused to all that are not privileged."""

_CAPABLE: dict[str, str] = {
    "SYS_ADMIN": "bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount "
    "open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns swapoff swapon syslog "
    "umount umount2 unshare",
    "DAC_READ_SEARCH": "open_by_handle_at name_to_handle_at",
    "SYS_BOOT": "reboot",
    "SYS_MODULE": "delete_module init_module finit_module",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev",
    "SYS_RAWIO": "iopl ioperm",
    "SYS_TIME": "settimeofday stime clock_settime clock_settime64 clock_adjtime clock_adjtime64",
    "SYS_TTY_CONFIG": "vhangup",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy migrate_pages move_pages",
    "BPF": "bpf",
    "PERFMON": "perf_event_open",
}
"""Refused without the capability."""

ARCHITECTURES = {
    "amd64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "arm64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
}


def runtime_default(granted: Collection[str], architecture: str) -> dict[str, Any]:
    """The OCI seccomp section for a container with these capabilities (`CAP_...`)."""
    has = {name.removeprefix("CAP_") for name in granted}
    allowed = {call for capability in has for call in _CAPABLE.get(capability, "").split()}
    refused = {*_REFUSED, *(call for calls in _CAPABLE.values() for call in calls.split())} - allowed
    rules: list[dict[str, Any]] = [{"names": sorted(refused), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}]
    if "SYS_ADMIN" not in has:
        # With SCMP_CMP_MASKED_EQ one rule says "none of these", so each flag needs its own to say "any of these".
        flags = [1 << bit for bit in range(32) if NAMESPACE_FLAGS >> bit & 1]
        rules += [
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": EPERM,
                "args": [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}],
            }
            for flag in flags
        ]
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ARCHITECTURES.get(architecture, []),
        "syscalls": rules,
    }
