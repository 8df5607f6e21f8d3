"""The Pod Security Standards, pure: what in a pod's spec is beyond `baseline` or `restricted`.

A check returns what is wrong as upstream words it (`privileged (container "a" must not set ...)`), or "". `restricted`
has all of baseline's checks but those that a stricter one of its own replaces.

A namespace may pin a standard to a minor version, "v1.30": checks and exemptions that came later do not hold there.
What has only become laxer since (more sysctls, more SELinux types) is always as it is now.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kaa.api.objects import Object

LEVELS = ("baseline", "restricted")

DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
RESTRICTED_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)


LATEST = 1_000
"""A minor version beyond all that there will be."""


def violations(spec: Object, level: str, minor: int = LATEST) -> list[str]:
    """What the pod does beyond `level`, in upstream's order: baseline's checks, then restricted's own."""
    checks = [c for c in CHECKS if c.since <= minor and c.level in ("baseline", level)]
    replaced = {check.replaces for check in checks if check.level == level}
    found = [c.find(spec) for c in checks if c.name not in replaced and not c.is_exempt(spec, minor)]
    return [violation for violation in found if violation]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    find: Callable[[Object], str]
    level: str = "baseline"
    replaces: str = ""  # the baseline check that needs not be made as well
    since: int = 0  # the minor version that it came with
    exempt: Callable[[Object], bool] | None = None  # pods that it is not about, since `exempt_since`
    exempt_since: int = 0

    def is_exempt(self, spec: Object, minor: int) -> bool:
        return self.exempt is not None and minor >= self.exempt_since and self.exempt(spec)


def containers_of(spec: Object) -> list[Object]:
    return [c for field in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(field) or ()]


def _context(container: Object) -> Object:
    context: Object = container.get("securityContext") or {}
    return context


def _containers_that(spec: Object, test: Callable[[Object], Any]) -> list[str]:
    return [c.get("name", "") for c in containers_of(spec) if test(_context(c))]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(names: list[str], noun: str = "container") -> str:
    return f"{noun}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _setters(spec: Object, test: Callable[[Object], Any]) -> str:
    """`pod`, `container "a"`, `pod and containers "a", "b"`: whose security context it is; "" if nobody's."""
    names = _containers_that(spec, test)
    setters = ["pod"] if test(_context(spec)) else []
    return " and ".join([*setters, _named(names)] if names else setters)


def _host_namespaces(spec: Object) -> str:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(found)})" if found else ""


def _host_paths(spec: Object) -> str:
    names = [v.get("name", "") for v in spec.get("volumes") or () if "hostPath" in v]
    return f"hostPath volumes ({_named(names, 'volume')})" if names else ""


def _host_ports(spec: Object) -> str:
    ports = {
        c.get("name", ""): [str(p["hostPort"]) for p in c.get("ports") or () if p.get("hostPort")]
        for c in containers_of(spec)
    }
    names = [name for name, used in ports.items() if used]
    if not names:
        return ""
    numbers = sorted({number for used in ports.values() for number in used})
    verb = "use" if len(names) > 1 else "uses"
    return f"hostPort ({_named(names)} {verb} hostPort{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})"


def _privileged(spec: Object) -> str:
    names = _containers_that(spec, lambda c: c.get("privileged"))
    return f"privileged ({_named(names)} must not set securityContext.privileged=true)" if names else ""


def _added_capabilities(allowed: frozenset[str]) -> Callable[[Object], tuple[list[str], list[str]]]:
    def find(spec: Object) -> tuple[list[str], list[str]]:
        added = {
            c.get("name", ""): set((_context(c).get("capabilities") or {}).get("add") or ()) - allowed
            for c in containers_of(spec)
        }
        names = [name for name, capabilities in added.items() if capabilities]
        return names, sorted(set().union(*added.values()) if added else ())

    return find


def _capabilities_baseline(spec: Object) -> str:
    names, capabilities = _added_capabilities(DEFAULT_CAPABILITIES)(spec)
    if not names:
        return ""
    listed = _quoted(capabilities)
    return f"non-default capabilities ({_named(names)} must not include {listed} in securityContext.capabilities.add)"


def _proc_mount(spec: Object) -> str:
    names = _containers_that(spec, lambda c: c.get("procMount") not in (None, "Default"))
    return f'procMount ({_named(names)} must not set securityContext.procMount to "Unmasked")' if names else ""


def _seccomp_type(context: Object) -> str | None:
    kind: str | None = (context.get("seccompProfile") or {}).get("type")
    return kind


def _seccomp_baseline(spec: Object) -> str:
    who = _setters(spec, lambda c: _seccomp_type(c) == "Unconfined")
    return f'seccompProfile ({who} must not set securityContext.seccompProfile.type to "Unconfined")' if who else ""


def _app_armor(spec: Object) -> str:
    who = _setters(spec, lambda c: (c.get("appArmorProfile") or {}).get("type") == "Unconfined")
    return f'forbidden AppArmor profile ({who} must not set AppArmor profile type to "Unconfined")' if who else ""


def _selinux(spec: Object) -> str:
    def is_bad(context: Object) -> bool:
        options = context.get("seLinuxOptions") or {}
        return options.get("type", "") not in SELINUX_TYPES or bool(options.get("user") or options.get("role"))

    who = _setters(spec, is_bad)
    if not who:
        return ""
    contexts = [_context(spec), *(_context(c) for c in containers_of(spec))]
    options = [context.get("seLinuxOptions") or {} for context in contexts]
    types = sorted({o["type"] for o in options if o.get("type", "") not in SELINUX_TYPES})
    details = [f"type{'s' if len(types) > 1 else ''} {_quoted(types)}"] if types else []
    details += [f"{field} may not be set" for field in ("user", "role") if any(o.get(field) for o in options)]
    return f"seLinuxOptions ({who} set forbidden securityContext.seLinuxOptions: {'; '.join(details)})"


def _sysctls(spec: Object) -> str:
    names = [s.get("name", "") for s in _context(spec).get("sysctls") or () if s.get("name") not in SAFE_SYSCTLS]
    return f"forbidden sysctls ({', '.join(names)})" if names else ""


def _host_process(spec: Object) -> str:
    who = _setters(spec, lambda c: (c.get("windowsOptions") or {}).get("hostProcess"))
    return f"hostProcess ({who} must not set securityContext.windowsOptions.hostProcess=true)" if who else ""


def _privilege_escalation(spec: Object) -> str:
    names = _containers_that(spec, lambda c: c.get("allowPrivilegeEscalation") is not False)
    if not names:
        return ""
    return (
        f"allowPrivilegeEscalation != false ({_named(names)} must set securityContext.allowPrivilegeEscalation=false)"
    )


def _capabilities_restricted(spec: Object) -> str:
    undropped = _containers_that(spec, lambda c: "ALL" not in ((c.get("capabilities") or {}).get("drop") or ()))
    names, added = _added_capabilities(frozenset({"NET_BIND_SERVICE"}))(spec)
    found = [f'{_named(undropped)} must set securityContext.capabilities.drop=["ALL"]'] if undropped else []
    if names:
        found.append(f"{_named(names)} must not include {_quoted(added)} in securityContext.capabilities.add")
    return f"unrestricted capabilities ({'; '.join(found)})" if found else ""


def _volume_types(spec: Object) -> str:
    bad = {
        v.get("name", ""): next((key for key in v if key != "name"), "unknown")
        for v in spec.get("volumes") or ()
        if not RESTRICTED_VOLUMES & v.keys()
    }
    if not bad:
        return ""
    kinds = sorted(set(bad.values()))
    verb = "use" if len(bad) > 1 else "uses"
    kind_noun = f"restricted volume type{'s' if len(kinds) > 1 else ''}"
    return f"restricted volume types ({_named(list(bad), 'volume')} {verb} {kind_noun} {_quoted(kinds)})"


def _run_as_non_root(spec: Object) -> str:
    refusing = _setters(spec, lambda c: c.get("runAsNonRoot") is False)
    if refusing:
        return f"runAsNonRoot != true ({refusing} must not set securityContext.runAsNonRoot=false)"
    silent = _containers_that(spec, lambda c: c.get("runAsNonRoot") is None)
    if not silent or _context(spec).get("runAsNonRoot"):
        return ""
    return f"runAsNonRoot != true (pod or {_named(silent)} must set securityContext.runAsNonRoot=true)"


def _run_as_user(spec: Object) -> str:
    who = _setters(spec, lambda c: c.get("runAsUser") == 0)
    return f"runAsUser=0 ({who} must not set runAsUser=0)" if who else ""


def _seccomp_restricted(spec: Object) -> str:
    allowed = ("RuntimeDefault", "Localhost")
    bad = _setters(spec, lambda c: _seccomp_type(c) not in (None, *allowed))
    if bad:
        return f'seccompProfile ({bad} must not set securityContext.seccompProfile.type to "Unconfined")'
    silent = _containers_that(spec, lambda c: _seccomp_type(c) is None)
    if not silent or _seccomp_type(_context(spec)):
        return ""
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {_named(silent)} {wanted})"


def _hosts_asked(spec: Object) -> str:
    """Probes and hooks are the kubelet's requests: they must go to the pod."""
    asked: dict[str, set[str]] = {}
    for container in containers_of(spec):
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [lifecycle.get(hook) for hook in ("postStart", "preStop")]
        actions = [(h or {}).get(action) or {} for h in handlers for action in ("httpGet", "tcpSocket")]
        if hosts := {action["host"] for action in actions if action.get("host")}:
            asked[container.get("name", "")] = hosts
    if not asked:
        return ""
    all_hosts = sorted(set().union(*asked.values()))
    verb, noun = "use" if len(asked) > 1 else "uses", f"probe or lifecycle host{'s' if len(all_hosts) > 1 else ''}"
    return f"probe or lifecycle host ({_named(sorted(asked))} {verb} {noun} {_quoted(all_hosts)})"


def _has_users_of_its_own(spec: Object) -> bool:
    """In a user namespace root is nobody outside."""
    return spec.get("hostUsers") is False


def _is_for_windows(spec: Object) -> bool:
    """There these fields cannot be set."""
    return (spec.get("os") or {}).get("name") == "windows"


CHECKS = (
    Check("appArmorProfile", _app_armor),
    Check("capabilities", _capabilities_baseline),
    Check("hostNamespaces", _host_namespaces),
    Check("hostPathVolumes", _host_paths),
    Check("hostPorts", _host_ports),
    Check("hostProbesAndHostLifecycle", _hosts_asked, since=34),
    Check("privileged", _privileged),
    Check("procMount", _proc_mount, exempt=_has_users_of_its_own, exempt_since=35),
    Check("seLinuxOptions", _selinux),
    Check("seccompProfile", _seccomp_baseline),
    Check("sysctls", _sysctls),
    Check("windowsHostProcess", _host_process),
    Check(
        "allowPrivilegeEscalation",
        _privilege_escalation,
        "restricted",
        since=8,
        exempt=_is_for_windows,
        exempt_since=25,
    ),
    Check(
        "capabilities_restricted",
        _capabilities_restricted,
        "restricted",
        replaces="capabilities",
        since=22,
        exempt=_is_for_windows,
        exempt_since=25,
    ),
    Check("procMount_restricted", _proc_mount, "restricted", replaces="procMount", since=35),
    Check("restrictedVolumes", _volume_types, "restricted", replaces="hostPathVolumes"),
    Check("runAsNonRoot", _run_as_non_root, "restricted", exempt=_has_users_of_its_own, exempt_since=35),
    Check("runAsUser", _run_as_user, "restricted", since=23, exempt=_has_users_of_its_own, exempt_since=35),
    Check(
        "seccompProfile_restricted",
        _seccomp_restricted,
        "restricted",
        replaces="seccompProfile",
        since=19,
        exempt=_is_for_windows,
        exempt_since=25,
    ),
)
