"""What a ControllerRevision holds."""

import json

from kaa.controllers.controller_revisions import data_of


def test_the_data_reads_as_a_client_would_write_it() -> None:
    """`kubectl rollout undo` looks for the current revision byte by byte: no blank, names in order at every depth."""
    container = {"name": "a", "image": "i", "ports": [{"protocol": "TCP", "containerPort": 80}]}
    template = {"spec": {"containers": [container]}, "metadata": {"labels": {"b": "1", "a": "2"}}}
    assert json.dumps(data_of(template), separators=(",", ":")) == (
        '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},'
        '"spec":{"containers":[{"image":"i","name":"a","ports":[{"containerPort":80,"protocol":"TCP"}]}]}}}}'
    )
    assert list(template) == ["spec", "metadata"], "the template itself stays as it is"
