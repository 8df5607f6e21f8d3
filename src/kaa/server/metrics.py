"""/metrics: what the server has done, under upstream's names, in the Prometheus text format."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from kaa.lib.clock import Clock
from kaa.server.request import Request, Response
from kaa.server.request_info import RequestInfo

TEXT = "text/plain; version=0.0.4; charset=utf-8"

VERBS = frozenset(["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "put", "post"])
SUBRESOURCES = frozenset(
    [
        "approval",
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "finalize",
        "log",
        "portforward",
        "proxy",
        "resize",
        "scale",
        "status",
        "token",
    ]
)

Labels = tuple[str, str, str, str, str, str]


class Metrics:
    """Counted by verb, group, version, resource, subresource and code; their number is bounded by what is served."""

    def __init__(self, clock: Clock) -> None:
        self._began = clock.now().timestamp()
        self._requests: Counter[Labels] = Counter()
        self._seconds: defaultdict[Labels, float] = defaultdict(float)
        self._others: list[Callable[[], Iterable[str]]] = []

    def add(self, lines: Callable[[], Iterable[str]]) -> None:
        """Shows what another part counts: its lines in the text format, made when somebody asks."""
        self._others.append(lines)

    def observe(self, info: RequestInfo, known: bool, status: int, seconds: float) -> None:
        """`known`: the resource is one that is served. Others have no label: anybody could make up any number."""
        verb = info.verb.upper() if info.verb in VERBS else "OTHER"
        if known:
            labels = (verb, info.group, info.version, info.plural, _subresource(info), str(status))
        else:
            labels = (verb, "", "", "", "", str(status))
        self._requests[labels] += 1
        self._seconds[labels] += seconds

    def answer(self, request: Request) -> Response | None:
        if request.path != "/metrics":
            return None
        lines = [
            "# HELP apiserver_request_total Requests answered.",
            "# TYPE apiserver_request_total counter",
            *(f"apiserver_request_total{_labels(key)} {count}" for key, count in sorted(self._requests.items())),
            "# HELP apiserver_request_duration_seconds Time to the answer's beginning.",
            "# TYPE apiserver_request_duration_seconds summary",
        ]
        for key, seconds in sorted(self._seconds.items()):
            lines.append(f"apiserver_request_duration_seconds_sum{_labels(key)} {seconds:.6f}")
            lines.append(f"apiserver_request_duration_seconds_count{_labels(key)} {self._requests[key]}")
        for others in self._others:
            lines += others()
        lines += [
            "# HELP process_start_time_seconds When the process began, in seconds since 1970.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self._began}",
            "",
        ]
        return Response(200, "\n".join(lines).encode(), TEXT)


def _subresource(info: RequestInfo) -> str:
    return info.subresource if info.subresource in SUBRESOURCES else ""


def _labels(key: Labels) -> str:
    names = ("verb", "group", "version", "resource", "subresource", "code")
    return "{" + ",".join(f'{name}="{value}"' for name, value in zip(names, key, strict=True)) + "}"
