"""Nobody gives away what they do not have: the check on writes of roles and bindings.

Writing a role needs every permission in it, or the verb `escalate` on roles. Writing a binding needs every permission
of the role it binds, or the verb `bind` on that role. Without this, whoever may write roles would be an administrator.
"""

from collections.abc import Sequence

from kaa.api.errors import APIError, qualified
from kaa.api.objects import Object, name_of, namespace_of
from kaa.server.authorization import MASTERS
from kaa.server.authorization.rbac import RBAC_GROUP, RBACAuthorizer
from kaa.server.authorization.rules import Rule, compact, not_covered, quoted
from kaa.server.chain import Authorizer
from kaa.server.request import AdmissionRequest, Attributes, User

EVERYTHING: list[Object] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


class EscalationCheck:
    """The admission row that carries it out."""

    def __init__(self, rbac: RBACAuthorizer, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer
        self._checks = {
            "Role": self._check_role,
            "ClusterRole": self._check_role,
            "RoleBinding": self._check_binding,
            "ClusterRoleBinding": self._check_binding,
        }

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises APIError Forbidden."""
        if request.resource.group != RBAC_GROUP or request.object is None:
            return
        if MASTERS in request.attributes.user.groups:
            return
        check = self._checks.get(request.resource.kind)
        if check is not None and (objection := check(request, request.object)):
            raise _refused(request, objection)

    def _check_role(self, request: AdmissionRequest, role: Object) -> str:
        if request.old is not None and _grants_the_same(role, request.old):
            return ""
        user, name, namespace = request.attributes.user, name_of(role), namespace_of(role)
        if self._may(user, "escalate", request.resource.name, name, namespace):
            return ""
        if role.get("aggregationRule") and not_covered(self._owned(user, ""), EVERYTHING):
            return "must have cluster-admin privileges to use an aggregationRule"
        return self._missing(user, namespace, role.get("rules") or [])

    def _check_binding(self, request: AdmissionRequest, binding: Object) -> str:
        user, ref, namespace = request.attributes.user, binding["roleRef"], namespace_of(binding)
        if request.old is not None and (request.old["roleRef"], request.old.get("subjects")) == (
            ref,
            binding.get("subjects"),
        ):
            return ""
        plural = ref["kind"].lower() + "s"
        if self._may(user, "bind", plural, ref["name"], namespace):
            return ""
        rules = self._rbac.rules_of_role(ref["kind"], ref["name"], namespace)
        if rules is None:
            return f'{qualified(ref["kind"].lower(), RBAC_GROUP)} "{ref["name"]}" not found'
        return self._missing(user, namespace, rules)

    def _may(self, user: User, verb: str, plural: str, name: str, namespace: str) -> bool:
        attributes = Attributes(user, verb, RBAC_GROUP, "v1", plural, namespace=namespace, name=name, is_resource=True)
        return self._authorizer.authorize(attributes)[0]

    def _owned(self, user: User, namespace: str) -> list[Rule]:
        return [Rule.of(rule) for rule in self._rbac.rules_for(user, namespace)[0]]

    def _missing(self, user: User, namespace: str, wanted: Sequence[Object]) -> str:
        missing = not_covered(self._owned(user, namespace), wanted)
        if not missing:
            return ""
        listed = "\n".join(sorted(compact(rule) for rule in missing))
        return (
            f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions'
            f" not currently held:\n{listed}"
        )


def _grants_the_same(new: Object, old: Object) -> bool:
    return all(new.get(field) == old.get(field) for field in ("rules", "aggregationRule"))


def _refused(request: AdmissionRequest, objection: str) -> APIError:
    name = name_of(request.object) if request.object else ""
    subject = qualified(request.resource.name, RBAC_GROUP)
    message = f'{subject} "{name}" is forbidden: {objection}'
    return APIError("Forbidden", message, name=name, group=RBAC_GROUP, kind=request.resource.name)
