"""/livez, /readyz, /healthz: whether the server lives, and whether it is ready to be asked.

`?verbose` lists the checks; `/readyz/<check>` asks one; `?exclude=<check>` leaves one out.
"""

from collections.abc import Callable

from kaa.server.request import Request, Response

TEXT = "text/plain; charset=utf-8"
ROOTS = ("livez", "readyz", "healthz")


class Health:
    """`ready` is set once the caches are filled and the bootstrap objects are made."""

    def __init__(self) -> None:
        self.ready = False
        always: Callable[[], bool] = lambda: True  # noqa: E731
        alive = {"ping": always, "log": always, "etcd": always}
        is_ready = {**alive, "informer-sync": lambda: self.ready, "poststarthook/start": lambda: self.ready}
        self._checks: dict[str, dict[str, Callable[[], bool]]] = {
            "livez": alive,
            "healthz": alive,
            "readyz": is_ready,
        }

    def answer(self, request: Request) -> Response | None:
        root, _, name = request.path.strip("/").partition("/")
        if root not in ROOTS:
            return None
        checks = self._checks[root]
        if name:
            if name not in checks:
                return Response(404, b"404 page not found\n", TEXT)
            checks = {name: checks[name]}
        excluded = {value for key, value in request.query if key == "exclude"}
        results = {check: run() for check, run in checks.items() if check not in excluded}
        good = all(results.values())
        if good and (name or not any(key == "verbose" for key, _ in request.query)):
            return Response(200, b"ok", TEXT)
        lines = [f"[+]{check} ok" if ok else f"[-]{check} failed: not finished" for check, ok in results.items()]
        lines.append(f"{root} check {'passed' if good else 'failed'}\n")
        return Response(200 if good else 500, "\n".join(lines).encode(), TEXT)
