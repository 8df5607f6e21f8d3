"""Which controllers a test has put to work: rows and programs note here what they have written.

`@exercises("job")` on a test is a promise that it keeps or fails: in it the row (by name) or program (by class) has
written something, and the server has taken it. `test_controllers_exercised.py` reads the promises of all tests: no
controller is without one that is kept on any server, in real time.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from tests.fakes.around import Around

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.client.transport import Response, Transport
from kaa.controllers.actions import ConfirmGone, ConfirmNone, ReadScale, RecordEvent, RequeueAfter
from kaa.controllers.controller import Actions, Controller, Key, View, next_action
from kaa.controllers.program import Context, Program

MakeProgram = Callable[[Context], Program]
Run = TypeVar("Run", bound=Callable[..., None])

ACTED: set[str] = set()
"""Since the test began."""

NO_WRITE = ConfirmGone | ConfirmNone | ReadScale | RecordEvent | RequeueAfter
QUESTIONS = "/apis/authorization.k8s.io/"


def exercises(*names: str) -> Callable[[Run], Run]:
    def decorated(run: Run) -> Run:
        def checked(*args: Any, **more: Any) -> None:
            ACTED.clear()
            run(*args, **more)
            assert set(names) <= ACTED, f"did nothing: {set(names) - ACTED}"

        checked.__name__, checked.__doc__ = run.__name__, run.__doc__
        checked.__dict__.update(run.__dict__, exercises=(*names, *run.__dict__.get("exercises", ())))
        return checked  # type: ignore[return-value]

    return decorated


def noting_row(row: Controller) -> Controller:
    def reconcile(obj: Object, view: View, now: datetime) -> Actions:
        return _noted(row.name, row.reconcile(obj, view, now))

    def gone(key: Key, view: View, now: datetime) -> Actions:
        assert row.gone is not None
        return _noted(row.name, row.gone(key, view, now))

    return replace(row, reconcile=reconcile, gone=gone if row.gone is not None else None)


def _noted(name: str, actions: Actions) -> Actions:
    answer: APIError | None = None
    try:
        while (action := next_action(actions, answer)) is not None:
            answer = yield action
            if answer is None and not isinstance(action, NO_WRITE):
                ACTED.add(name)
    finally:
        actions.close()


def name_of_program(make: MakeProgram) -> str:
    made = make.func if isinstance(make, partial) else make
    return str(made.__name__)


def noting_program(make: MakeProgram) -> MakeProgram:
    def made(context: Context) -> Program:
        transport = NotingTransport(context.client.transport, name_of_program(make))
        return make(replace(context, client=Client(transport, context.client.catalog)))

    return made


class NotingTransport(Around):
    def __init__(self, inner: Transport, name: str) -> None:
        super().__init__(inner)
        self._name = name

    async def request(self, method: str, path: str, **more: Any) -> Response:
        response = await super().request(method, path, **more)
        if method != "GET" and response.status < 300 and not path.startswith(QUESTIONS):
            ACTED.add(self._name)
        return response
