"""A KubeSchedulerConfiguration: what it makes of the plugins, and what it says of mistakes."""

from pathlib import Path
from textwrap import dedent

import pytest
from tests.unit.scheduler.make import node, pod, snapshot_of

from kaa.scheduler.config import BadConfiguration
from kaa.scheduler.config.configuration import Configuration, configure, read_configuration
from kaa.scheduler.config.decoding import decode_configuration
from kaa.scheduler.framework import Plugin, Profile
from kaa.scheduler.plugins import FACTORIES
from kaa.scheduler.snapshot import Snapshot

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def configured(text: str) -> Configuration:
    return configure(decode_configuration(HEAD + dedent(text)), Path())


def profile_of(text: str) -> Profile:
    (profile,) = configured(text).profiles
    return profile


def plugin_of(profile: Profile, name: str) -> Plugin:
    (found,) = [plugin for plugin in profile.plugins if plugin.name == name]
    return found


def mistake(text: str) -> str:
    with pytest.raises(BadConfiguration) as raised:
        configured(text)
    return str(raised.value)


def test_an_empty_configuration_is_the_default_scheduler():
    """All default plugins in their order, with their weights."""
    found = configured("")
    (profile,) = found.profiles
    assert profile.name == "default-scheduler"
    assert [plugin.name for plugin in profile.plugins] == list(FACTORIES)
    assert (found.backoff.initial_seconds, found.backoff.limit_seconds) == (1, 10)


def test_several_profiles():
    """Each has its own plugins; what has no effect here is accepted."""
    found = configured("""
        percentageOfNodesToScore: 50
        parallelism: 4
        podInitialBackoffSeconds: 2
        podMaxBackoffSeconds: 30
        leaderElection: {leaderElect: false}
        clientConnection: {qps: 1000, burst: 2000}
        profiles:
        - schedulerName: default-scheduler
        - schedulerName: packing
          plugins:
            score:
              disabled: [{name: "*"}]
              enabled: [{name: NodeResourcesFit, weight: 7}]
          pluginConfig:
          - name: NodeResourcesFit
            args: {scoringStrategy: {type: MostAllocated}}
    """)
    assert [profile.name for profile in found.profiles] == ["default-scheduler", "packing"]
    assert (found.backoff.initial_seconds, found.backoff.limit_seconds) == (2, 30)
    scoring = [(plugin.name, plugin.weight) for plugin in found.profiles[1].plugins if plugin.score is not None]
    assert scoring == [("NodeResourcesFit", 7)]


def test_multi_point_disables_and_weighs():
    """What multiPoint disables is gone from all points; a default that is named again keeps its place, and weighs 1."""
    profile = profile_of("""
        profiles:
        - plugins:
            multiPoint:
              disabled: [{name: ImageLocality}]
              enabled: [{name: NodeAffinity}, {name: PodTopologySpread, weight: 9}]
    """)
    names = [plugin.name for plugin in profile.plugins]
    assert names == [name for name in FACTORIES if name != "ImageLocality"]
    assert plugin_of(profile, "NodeAffinity").weight == 1
    assert plugin_of(profile, "PodTopologySpread").weight == 9


def test_a_single_point_is_cut_out():
    """A plugin may score and not reject."""
    profile = profile_of("""
        profiles:
        - plugins:
            filter: {disabled: [{name: TaintToleration}]}
    """)
    row = plugin_of(profile, "TaintToleration")
    assert row.reject is None
    assert row.score is not None


def test_only_what_is_named():
    """`*` takes all away, and the rest is enabled one by one."""
    profile = profile_of("""
        profiles:
        - plugins:
            multiPoint:
              disabled: [{name: "*"}]
              enabled: [{name: PrioritySort}, {name: NodeName}, {name: DefaultBinder}]
    """)
    assert [plugin.name for plugin in profile.plugins] == ["NodeName"]


def rejected(plugin: Plugin, wanted, snapshot) -> set[str]:
    assert plugin.reject is not None
    rows = [rejection.rows for rejection in plugin.reject(wanted, snapshot)]
    return {name for name, row in snapshot.row_of.items() if any(found[row] for found in rows)}


def scores(plugin: Plugin, wanted, snapshot) -> dict[str, float]:
    assert plugin.score is not None
    found = plugin.score(wanted, snapshot, snapshot.present)
    assert found is not None
    return {name: float(found[row]) for name, row in snapshot.row_of.items()}


def with_args(name: str, args: str) -> Plugin:
    return plugin_of(profile_of(f"profiles: [{{pluginConfig: [{{name: {name}, args: {args}}}]}}]"), name)


def test_most_allocated_packs():
    """The share in use, not the share left: 2 and 3 of 4 cpus, and nothing else."""
    plugin = with_args("NodeResourcesFit", "{scoringStrategy: {type: MostAllocated, resources: [{name: cpu}]}}")
    snapshot = snapshot_of(node("a"), node("b"))
    snapshot.add_pod(pod("first", "1"), "b")
    assert scores(plugin, pod("p", "2"), snapshot) == {"a": 50, "b": 75}


def test_requested_to_capacity_ratio_follows_its_line():
    """Half used is worth 5 of 10 on a straight line, and resources that score 0 do not count."""
    shape = "[{utilization: 0, score: 0}, {utilization: 100, score: 10}]"
    strategy = f"{{type: RequestedToCapacityRatio, requestedToCapacityRatio: {{shape: {shape}}}, RESOURCES}}"
    resources = "resources: [{name: cpu, weight: 3}, {name: example.com/gpu, weight: 5}]"
    plugin = with_args("NodeResourcesFit", f"{{scoringStrategy: {strategy.replace('RESOURCES', resources)}}}")
    snapshot = snapshot_of(node("a", room={"example.com/gpu": "4"}), node("b"))
    assert scores(plugin, pod("p", "2"), snapshot) == {"a": 50, "b": 50}
    # 3 * 50 + 5 * 25, over 8: 34.4
    assert scores(plugin, pod("p", "2", requests={"example.com/gpu": "1"}), snapshot) == {"a": 34, "b": 50}


def test_ignored_resources():
    """By name or by group, as somebody else looks after them."""
    plugin = with_args("NodeResourcesFit", "{ignoredResources: [example.com/a], ignoredResourceGroups: [other.com]}")
    snapshot = snapshot_of(node("n"))
    assert rejected(plugin, pod("p", requests={"example.com/a": "1", "other.com/b": "1"}), snapshot) == set()
    assert rejected(plugin, pod("p", requests={"example.com/c": "1"}), snapshot) == {"n"}


def test_added_affinity():
    """For all pods of the profile, with its own reason."""
    term = "{matchExpressions: [{key: pool, operator: In, values: [batch]}]}"
    required = f"{{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{term}]}}}}"
    plugin = with_args("NodeAffinity", f"{{addedAffinity: {required}}}")
    snapshot = snapshot_of(node("a", labels={"pool": "batch"}), node("b"))
    assert rejected(plugin, pod("p"), snapshot) == {"b"}
    assert plugin.reject is not None
    reasons = [found.reason for found in plugin.reject(pod("p"), snapshot)]
    assert reasons == ["node(s) didn't match scheduler-enforced node affinity"]


def test_balanced_allocation_of_other_resources():
    """Three resources: the standard deviation, and those that a node lacks are left out."""
    resources = "{resources: [{name: cpu}, {name: memory}, {name: example.com/gpu}]}"
    plugin = with_args("NodeResourcesBalancedAllocation", resources)
    snapshot = snapshot_of(node("a", memory="4Gi", room={"example.com/gpu": "4"}), node("b", memory="4Gi"))
    wanted = pod("p", "4", requests={"memory": "4Gi", "example.com/gpu": "4"})
    # Perfectly even on both, from nothing in use: no better than before.
    assert scores(plugin, wanted, snapshot) == {"a": 75, "b": 75}
    wanted = pod("p", "2", requests={"memory": "2Gi", "example.com/gpu": "4"})
    # Shares 0.5, 0.5, 1: deviation 0.2357; (1 - that) * 100 is 76, 24 less than before.
    assert scores(plugin, wanted, snapshot) == {"a": 63, "b": 75}


def test_hard_affinity_weight_and_ignored_preferences():
    """How much bound pods' required affinity attracts; and none of their wishes count for pods that have none."""
    near = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
    snapshot = snapshot_of(node("a"), node("b"))
    snapshot.add_pod(pod("first", labels={"app": "web"}, affinity=affinity), "a")
    web = pod("p", labels={"app": "web"})
    assert scores(with_args("InterPodAffinity", "{hardPodAffinityWeight: 5}"), web, snapshot) == {"a": 100, "b": 0}
    for args in ("{hardPodAffinityWeight: 0}", "{ignorePreferredTermsOfExistingPods: true}"):
        plugin = with_args("InterPodAffinity", args)
        assert plugin.score is not None
        assert plugin.score(web, snapshot, snapshot.present) is None


class Services:
    """A view with one Service, which selects `app: web`."""

    def get(self, kind: str, name: str, namespace: str = "") -> None:
        return None

    def list(self, kind: str, namespace: str | None = None) -> list[dict[str, object]]:
        metadata = {"name": "web", "namespace": "default"}
        return [{"metadata": metadata, "spec": {"selector": {"app": "web"}}}] if kind == "Service" else []


def test_default_constraints_of_a_list():
    """Instead of the system's; they may even reject. Pods of no service are not spread."""
    constraint = "{topologyKey: zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}"
    plugin = with_args("PodTopologySpread", f"{{defaultingType: List, defaultConstraints: [{constraint}]}}")
    snapshot = Snapshot(Services())
    for name in ("a", "b"):
        snapshot.set_node(node(name, labels={"zone": name}))
    snapshot.add_pod(pod("first", labels={"app": "web"}), "a")
    assert rejected(plugin, pod("p", labels={"app": "web"}), snapshot) == {"a"}
    assert rejected(plugin, pod("p", labels={"app": "db"}), snapshot) == set()


MISTAKES = {
    "bogus: 1": 'strict decoding error: unknown field "bogus"',
    "profiles: [{plugins: {filter: {enable: []}}}]": (
        'strict decoding error: unknown field "profiles[0].plugins.filter.enable"'
    ),
    "parallelism: many": (
        "json: cannot unmarshal string into Go struct field KubeSchedulerConfiguration.parallelism of type int32"
    ),
    "percentageOfNodesToScore: 101": "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
    "podInitialBackoffSeconds: 20": (
        "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds"
    ),
    "profiles: [{schedulerName: a}, {schedulerName: a}]": (
        'profiles[1].schedulerName: Duplicate value: "profiles[0].schedulerName"'
    ),
    "profiles: [{}, {schedulerName: a}]": "profiles[0].schedulerName: Required value",
    "profiles: [{plugins: {filter: {enabled: [{name: EBSLimits}]}}}]": (
        'profiles[0].plugins.filter.enabled[0]: Invalid value: "EBSLimits": was invalid in version "v1" '
        '(KubeSchedulerConfiguration is version "kubescheduler.config.k8s.io/v1")'
    ),
    "profiles: [{plugins: {multiPoint: {enabled: [{name: Nobody}]}}}]": (
        'initializing profiles: creating profile for scheduler name default-scheduler: plugin "Nobody" does not exist'
    ),
    "profiles: [{plugins: {queueSort: {disabled: [{name: '*'}]}}}]": (
        "initializing profiles: creating profile for scheduler name default-scheduler: "
        'only one queue sort plugin required for profile with scheduler name "default-scheduler", but got 0'
    ),
    "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]": (
        "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]"
    ),
    "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {kind: Wrong}}]}]": (
        "decoding .profiles[0].pluginConfig[0]: args for plugin NodeResourcesFit were not of type "
        "NodeResourcesFitArgs, got Wrong"
    ),
    "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {foo: 1}}]}]": (
        "decoding .profiles[0].pluginConfig[0]: decoding args for plugin NodeResourcesFit: "
        'strict decoding error: unknown field "foo"'
    ),
    "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Random}}}]}]": (
        'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "Random": supported values: '
        '"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"'
    ),
    "extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}]": (
        "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"
    ),
    "extenders: [{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}]": (
        'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind'
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items())
def test_mistakes_are_told_in_upstreams_words(text: str, message: str):
    """People search for these sentences."""
    assert mistake(text) == message


def test_two_mistakes_are_told_at_once():
    """In brackets, as upstream's aggregates."""
    both = mistake("percentageOfNodesToScore: 101\nparallelism: 0\n")
    assert both == (
        "[parallelism: Invalid value: 0: should be an integer value greater than zero, "
        "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]]"
    )


def test_another_kind_is_refused(tmp_path: Path):
    """A file of an older version, or of something else."""
    path = tmp_path / "config.yaml"
    path.write_text("apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration\n")
    with pytest.raises(BadConfiguration, match="no kind"):
        read_configuration(path)
