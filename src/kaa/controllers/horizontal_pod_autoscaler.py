"""HorizontalPodAutoscaler: the target's replicas follow what is measured of its pods.

Every fifteen seconds: the target's scale is read, each metric asked for (`autoscaling_metrics.py`), and the largest
answer, as far and as fast as the behavior allows (`autoscaling_behavior.py`), is written to the scale. A metric that
cannot be had holds back shrinking. Conditions say what went well and what did not.

It is a program and no row: measurements are no objects, and a target may be of any kind that has a scale.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from kaa.api.quantity import Quantity
from kaa.api.selectors import Selector, parse_label_selector
from kaa.client.informer import Change
from kaa.client.transport import TransportError
from kaa.controllers.autoscaling_behavior import History, Limited, bounds, normalize, rules_of
from kaa.controllers.autoscaling_metrics import (
    TOLERANCE,
    by_average,
    by_pods,
    by_value,
    group,
    ready_count,
    requests_of,
)
from kaa.controllers.controller import Key, key_of
from kaa.controllers.metrics_api import MetricsAPI
from kaa.controllers.metrics_source import MetricsMissing, MetricsSource, milli, printed
from kaa.controllers.program import Context
from kaa.lib.clock import rfc3339
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

COMPONENT = "horizontal-pod-autoscaler"

WORKERS = 5
PERIOD_SECONDS = 15.0
"""Between two looks at an autoscaler, as upstream's."""

NANO_PER_MILLI = 10**6

UNCOMPUTED = "FailedComputeMetricsReplicas"


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled, as measured now."""

    namespace: str
    replicas: int
    selector: Selector
    pods: Sequence[Object]


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one metric: the replicas it asks for, what `status.currentMetrics` shows, and what it is called."""

    replicas: int
    shown: Object
    name: str


class Failed(Exception):
    """A condition is False: `kind`, reason, message. `event` is the (reason, message) that tells of it, if one does."""

    def __init__(self, kind: str, reason: str, message: str, event: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.kind, self.reason, self.message, self.event = kind, reason, message, event


class Unmeasured(Exception):
    """One metric cannot be had: why, in a word and in words. `whole` says as well which metric."""

    def __init__(self, reason: str, message: str, whole: str) -> None:
        super().__init__(message)
        self.reason, self.message, self.whole = reason, message, whole


def quantity(amount: int) -> str:
    return str(Quantity(amount * NANO_PER_MILLI))


def tolerances_of(autoscaler: Object) -> tuple[float, float]:
    """Of growing and of shrinking."""
    up, down = (rules.get("tolerance") for rules in rules_of(autoscaler))
    return tuple(TOLERANCE if t is None else milli(t) / 1000 for t in (up, down))  # type: ignore[return-value]


async def ask(source: MetricsSource, spec: Object, target: Target, autoscaler: Object, now: datetime) -> Answer:
    """What one metric asks for. Raises Unmeasured."""
    reason, answer = METRICS[spec["type"]]
    try:
        return await answer(source, spec, target, tolerances_of(autoscaler), now)
    except MetricsMissing as error:
        message = f"{_of_resource(spec)}{error}"
        raise Unmeasured(reason, message, f"failed to get {MISSED[spec['type']](spec)}: {message}") from None


def _of_resource(spec: Object) -> str:
    """How the reason begins why what pods use could not be had."""
    part = spec.get("resource") or spec.get("containerResource")
    if part is None:
        return ""
    return f"failed to get {part['name']} {'utilization' if part['target']['type'] == 'Utilization' else 'usage'}: "


MISSED: Mapping[str, Callable[[Object], str]] = {
    "Resource": lambda spec: f"{spec['resource']['name']} resource metric value",
    "ContainerResource": lambda spec: f"{spec['containerResource']['container']} container metric value",
    "Pods": lambda spec: "pods metric value",
    "Object": lambda spec: "object metric value",
    "External": lambda spec: "{name} external metric value: failed to get {name} external metric".format(
        **spec["external"]["metric"]
    ),
}
"""By the metric's type: what could not be had."""


async def _resource(
    source: MetricsSource, spec: Object, target: Target, tolerances: tuple[float, float], now: datetime
) -> Answer:
    field = "resource" if spec["type"] == "Resource" else "containerResource"
    part = spec[field]
    name, container, aim = part["name"], part.get("container", ""), part["target"]
    usage = await source.resource(target.namespace, target.selector, name, container)
    groups = group(target.pods, usage, now, is_cpu=name == "cpu")
    measured = [usage[pod] for pod in groups.measured]
    average = sum(measured) // len(measured) if measured else 0
    shown: Object = {"averageValue": quantity(average)}
    if aim["type"] == "Utilization":
        asked = requests_of(target.pods, name, container)
        targets = {pod: amount * aim["averageUtilization"] // 100 for pod, amount in asked.items()}
        most = {pod: max(amount, targets[pod]) for pod, amount in asked.items()}
        total = sum(asked[pod] for pod in groups.measured)
        shown["averageUtilization"] = sum(measured) * 100 // total if total else 0
        called = f"{name} {'container ' if container else ''}resource utilization (percentage of request)"
    else:
        targets = most = dict.fromkeys(map(name_of, target.pods), milli(aim["averageValue"]))
        called = f"{name} {'container ' if container else ''}resource"
    replicas = by_pods(target.replicas, usage, targets, most, groups, tolerances)
    more = {"container": container} if container else {}
    return Answer(replicas, {"type": spec["type"], field: {"name": name, **more, "current": shown}}, called)


async def _pods(
    source: MetricsSource, spec: Object, target: Target, tolerances: tuple[float, float], now: datetime
) -> Answer:
    metric, aim = spec["pods"]["metric"], milli(spec["pods"]["target"]["averageValue"])
    usage = await source.pods(target.namespace, target.selector, metric)
    groups = group(target.pods, usage, now, is_cpu=False)
    targets = dict.fromkeys(map(name_of, target.pods), aim)
    replicas = by_pods(target.replicas, usage, targets, targets, groups, tolerances)
    average = sum(usage[pod] for pod in groups.measured) // len(groups.measured)
    shown = {"metric": metric, "current": {"averageValue": quantity(average)}}
    return Answer(replicas, {"type": "Pods", "pods": shown}, f"pods metric {metric['name']}")


async def _object(
    source: MetricsSource, spec: Object, target: Target, tolerances: tuple[float, float], now: datetime
) -> Answer:
    part = spec["object"]
    value = await source.object(target.namespace, part["describedObject"], part["metric"])
    replicas, current = _one_number(value, part["target"], target, tolerances)
    shown = {"metric": part["metric"], "describedObject": part["describedObject"], "current": current}
    described = f"{part['describedObject']['kind']} metric {part['metric']['name']}"
    return Answer(replicas, {"type": "Object", "object": shown}, described)


async def _external(
    source: MetricsSource, spec: Object, target: Target, tolerances: tuple[float, float], now: datetime
) -> Answer:
    part = spec["external"]
    value = sum(await source.external(target.namespace, part["metric"]))
    replicas, current = _one_number(value, part["target"], target, tolerances)
    shown = {"metric": part["metric"], "current": current}
    described = f"external metric {part['metric']['name']}({printed(part['metric'].get('selector'))})"
    return Answer(replicas, {"type": "External", "external": shown}, described)


def _one_number(value: int, aim: Object, target: Target, tolerances: tuple[float, float]) -> tuple[int, Object]:
    if aim["type"] == "Value":
        replicas = by_value(target.replicas, ready_count(target.pods), value, milli(aim["value"]), tolerances)
        return replicas, {"value": quantity(value)}
    replicas = by_average(target.replicas, value, milli(aim["averageValue"]), tolerances)
    return replicas, {"averageValue": quantity(value // max(1, target.replicas))}


METRICS = {
    "Resource": ("FailedGetResourceMetric", _resource),
    "ContainerResource": ("FailedGetContainerResourceMetric", _resource),
    "Pods": ("FailedGetPodsMetric", _pods),
    "Object": ("FailedGetObjectMetric", _object),
    "External": ("FailedGetExternalMetric", _external),
}
"""By the metric's type: the reason of its failure, and how it is asked."""


def with_condition(conditions: list[Object], kind: str, state: str, reason: str, message: str, now: datetime) -> None:
    known = condition(conditions, kind)
    since = known["lastTransitionTime"] if known is not None and known["status"] == state else rfc3339(now)
    fresh = {"type": kind, "status": state, "lastTransitionTime": since, "reason": reason, "message": message}
    if known is None:
        conditions.append(fresh)
    else:
        conditions[conditions.index(known)] = fresh


class Autoscaling:
    """The loop. `source` says what is measured; None: the cluster's metrics APIs."""

    def __init__(self, context: Context, source: MetricsSource | None) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._every_kind = context.every_kind
        self._source = source or MetricsAPI(context.client, context.every_kind.resource)
        self._autoscalers = context.informers.informer("HorizontalPodAutoscaler")
        self._all_pods = context.informers.informer("Pod")
        self._queue: WorkQueue[Key] = WorkQueue(context.clock)
        self._histories: dict[str, History] = {}  # by uid
        self._selectors: dict[Key, Selector] = {}  # of each one's target, as last looked at
        self._autoscalers.subscribe(self._changed)

    def _tell(self, autoscaler: Object, type_: str, reason: str, message: str) -> None:
        self._recorder.record(autoscaler, type_, reason, message, component=COMPONENT)

    def _changed(self, change: Change) -> None:
        if change.new is None and change.old is not None:
            self._histories.pop(uid_of(change.old), None)
            self._selectors.pop(key_of(change.old), None)
        elif change.new is None:
            return
        elif change.old is None or change.old["metadata"].get("generation") != change.new["metadata"].get("generation"):
            self._queue.add(key_of(change.new))

    async def run(self) -> None:
        """Until cancelled."""
        await self._autoscalers.wait_synced()
        await self._all_pods.wait_synced()
        await self._every_kind.wait_synced()
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(WORKERS):
                    tasks.create_task(self._work())
        finally:
            self._queue.close()

    async def _work(self) -> None:
        while True:
            namespace, name = key = await self._queue.get()
            try:
                autoscaler = self._autoscalers.get(name, namespace)
                if autoscaler is not None and not is_being_deleted(autoscaler):
                    self._queue.add_after(key, PERIOD_SECONDS)
                    await self._look(autoscaler)
            except (APIError, TransportError) as error:
                log.debug("autoscaler %s/%s: %s", namespace, name, error)
            finally:
                self._queue.done(key)

    async def _look(self, autoscaler: Object) -> None:
        now = self._clock.now()
        status = {**autoscaler.get("status", {}), "observedGeneration": autoscaler["metadata"].get("generation", 0)}
        conditions = [dict(c) for c in status.get("conditions") or ()]
        try:
            await self._scale(autoscaler, status, conditions, now)
        except Failed as failure:
            with_condition(conditions, failure.kind, "False", failure.reason, failure.message, now)
            if failure.event is not None:
                self._tell(autoscaler, "Warning", *failure.event)
        status["conditions"] = conditions
        if status != autoscaler.get("status", {}):
            self._autoscalers.observe(await self._client.update_status({**autoscaler, "status": status}))

    async def _scale(self, autoscaler: Object, status: Object, conditions: list[Object], now: datetime) -> None:
        path, scale = await self._get_scale(autoscaler)
        message = "the HPA controller was able to get the target's current scale"
        with_condition(conditions, "AbleToScale", "True", "SucceededGetScale", message, now)
        current: int = (scale.get("spec") or {}).get("replicas", 0)
        status.pop("currentReplicas", None)
        if replicas := (scale.get("status") or {}).get("replicas", 0):
            status["currentReplicas"] = replicas  # no 0: the server keeps none, and it would be written again and again
        low, high = bounds(autoscaler)
        if current == 0 and low != 0:
            status["desiredReplicas"] = 0
            message = "scaling is disabled since the replica count of the target is zero"
            raise Failed("ScalingActive", "ScalingDisabled", message)
        status["desiredReplicas"] = current
        if current > high or current < low:
            wanted = high if current > high else low
            limit = "above Spec.MaxReplicas" if current > high else "below Spec.MinReplicas"
            why = f"Current number of replicas {limit}"
        else:
            limited, name = await self._measured(autoscaler, scale, current, status, conditions, now)
            with_condition(conditions, "AbleToScale", "True", *limited.able, now)
            state, limit_reason = ("True", limited.limit) if limited.limit else ("False", WITHIN)
            with_condition(conditions, "ScalingLimited", state, *limit_reason, now)
            wanted = limited.replicas
            why = f"{name} above target" if wanted > current else "All metrics below target"
        if wanted != current:
            await self._resize(autoscaler, path, scale, wanted, why)
            self._histories.setdefault(uid_of(autoscaler), History()).changes.append((now, wanted - current))
            status["desiredReplicas"], status["lastScaleTime"] = wanted, rfc3339(now)
            message = f"the HPA controller was able to update the target scale to {wanted}"
            with_condition(conditions, "AbleToScale", "True", "SucceededRescale", message, now)

    async def _get_scale(self, autoscaler: Object) -> tuple[str, Object]:
        reference = autoscaler["spec"]["scaleTargetRef"]
        group_name = reference.get("apiVersion", "").rpartition("/")[0]
        resource = self._every_kind.resource(group_name, reference["kind"])
        try:
            if resource is None:
                raise APIError("NotFound", f'no matches for kind "{reference["kind"]}" in group "{group_name}"')
            path = resource.path(namespace_of(autoscaler), reference["name"], "scale")
            return path, await self._client.call("GET", path)
        except APIError as error:
            message = f"the HPA controller was unable to get the target's current scale: {error.message}"
            raise Failed("AbleToScale", "FailedGetScale", message, ("FailedGetScale", error.message)) from None

    async def _measured(
        self, autoscaler: Object, scale: Object, current: int, status: Object, conditions: list[Object], now: datetime
    ) -> tuple[Limited, str]:
        selector_text = (scale.get("status") or {}).get("selector", "")
        if not selector_text:
            message, why = "the HPA target's scale is missing a selector", "selector is required"
            self._tell(autoscaler, "Warning", "SelectorRequired", why)
            raise Failed("ScalingActive", "InvalidSelector", message, (UNCOMPUTED, why))
        selector = parse_label_selector(selector_text)
        namespace = namespace_of(autoscaler)
        target = Target(namespace, current, selector, self._all_pods.list(namespace, selector))
        self._selectors[key_of(autoscaler)] = selector
        if others := self._others_of(autoscaler, target):
            which = " ".join(f"{{{name} {namespace}}}" for namespace, name in sorted((key_of(autoscaler), *others)))
            message = f"pods by selector {selector_text} are controlled by multiple HPAs: [{which}]"
            self._tell(autoscaler, "Warning", "AmbiguousSelector", message)
            raise Failed("ScalingActive", "AmbiguousSelector", message, (UNCOMPUTED, message))
        answers, failures = [], []
        for spec in autoscaler["spec"].get("metrics") or ():
            try:
                answers.append(await ask(self._source, spec, target, autoscaler, now))
            except Unmeasured as failure:
                failures.append(failure)
                self._tell(autoscaler, "Warning", failure.reason, failure.message)
        best = max(answers, key=lambda answer: answer.replicas, default=None)
        if failures and (best is None or best.replicas < current):
            first, invalid = failures[0], f"{len(failures)} invalid out of {len(failures) + len(answers)}"
            message = f"the HPA was unable to compute the replica count: {first.message}"
            why = f"invalid metrics ({invalid}), first error is: {first.whole}"
            raise Failed("ScalingActive", first.reason, message, (UNCOMPUTED, why))
        assert best is not None
        status["currentMetrics"] = [answer.shown for answer in answers]
        message = f"the HPA was able to successfully calculate a replica count from {best.name}"
        with_condition(conditions, "ScalingActive", "True", "ValidMetricFound", message, now)
        history = self._histories.setdefault(uid_of(autoscaler), History())
        return normalize(autoscaler, current, best.replicas, history, now), best.name

    def _others_of(self, autoscaler: Object, target: Target) -> list[Key]:
        """Autoscalers that were seen to follow some of the same pods: they would scale against each other."""
        mine = key_of(autoscaler)
        labels = [labels_of(pod) for pod in target.pods]
        known = ((key, s) for key, s in self._selectors.items() if key != mine and key[0] == target.namespace)
        return sorted(key for key, selector in known if any(map(selector.matches, labels)))

    async def _resize(self, autoscaler: Object, path: str, scale: Object, wanted: int, why: str) -> None:
        body = {**scale, "spec": {**(scale.get("spec") or {}), "replicas": wanted}}
        try:
            await self._client.call("PUT", path, body=body)
        except APIError as error:
            message = f"the HPA controller was unable to update the target scale: {error.message}"
            event = "FailedRescale", f"New size: {wanted}; reason: {why}; error: {error.message}"
            raise Failed("AbleToScale", "FailedUpdateScale", message, event) from None
        self._tell(autoscaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")


WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
