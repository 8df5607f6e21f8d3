"""Upstream's default roles and who has them, in the notation of `policy.py`."""

RBAC = "rbac.authorization.k8s.io"
CONTROLLER_MANAGER = "system:kube-controller-manager"

READ = "get,list,watch"
WRITE = "create,delete,deletecollection,patch,update"
LEADER_LOCKING = "get,watch,list,create,update leases.coordination.k8s.io leasecandidates.coordination.k8s.io"
EVENTS = "create,patch,update events events.events.k8s.io"

USER_WORKLOADS = """
    {verbs} pods replicationcontrollers replicationcontrollers/scale serviceaccounts services
    {verbs} persistentvolumeclaims configmaps
    {verbs} deployments.apps deployments.apps/scale replicasets.apps replicasets.apps/scale daemonsets.apps
    {verbs} statefulsets.apps statefulsets.apps/scale
    {verbs} horizontalpodautoscalers.autoscaling jobs.batch cronjobs.batch
    {verbs} poddisruptionbudgets.policy networkpolicies.networking.k8s.io ingresses.networking.k8s.io
    {verbs} daemonsets.extensions deployments.extensions deployments.extensions/scale ingresses.extensions
    {verbs} networkpolicies.extensions replicasets.extensions replicasets.extensions/scale
    {verbs} replicationcontrollers.extensions/scale
"""
"""What people run in their namespaces: `edit` may write it, `view` read it."""

CLUSTER_ROLES: dict[str, str] = {
    "cluster-admin": "* *.*\n * /*",
    "system:discovery": "get /livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*",
    "system:monitoring": """
        get /metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/* /flagz /statusz
        get nodes/metrics
    """,
    "system:basic-user": """
        create selfsubjectaccessreviews.authorization.k8s.io selfsubjectrulesreviews.authorization.k8s.io
        create selfsubjectreviews.authentication.k8s.io
    """,
    "system:public-info-viewer": "get /livez /readyz /healthz /version /version/",
    "system:service-account-issuer-discovery": (
        "get /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/"
    ),
    "system:cluster-trust-bundle-discovery": f"{READ} clustertrustbundles.certificates.k8s.io",
    "system:aggregate-to-admin": f"""
        create localsubjectaccessreviews.authorization.k8s.io
        {READ},{WRITE} roles.{RBAC} rolebindings.{RBAC}
    """,
    "system:aggregate-to-edit": USER_WORKLOADS.format(verbs=WRITE)
    + f"""
        {READ} pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy
        {WRITE} pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy
        impersonate serviceaccounts
        create pods/eviction serviceaccounts/token
        {WRITE} deployments.apps/rollback deployments.extensions/rollback events events.events.k8s.io
        get,create,list,watch,update,patch,delete,deletecollection leases.coordination.k8s.io
        {WRITE} resourceclaims.resource.k8s.io resourceclaimtemplates.resource.k8s.io
    """,
    "system:aggregate-to-view": USER_WORKLOADS.format(verbs=READ)
    + f"""
        {READ} limitranges resourcequotas bindings endpoints events events.events.k8s.io namespaces pods/log
        {READ} pods/status resourcequotas/status namespaces/status replicationcontrollers/status services/status
        {READ} persistentvolumeclaims/status controllerrevisions.apps endpointslices.discovery.k8s.io
        {READ} deployments.apps/status replicasets.apps/status daemonsets.apps/status statefulsets.apps/status
        {READ} horizontalpodautoscalers.autoscaling/status jobs.batch/status cronjobs.batch/status
        {READ} poddisruptionbudgets.policy/status ingresses.networking.k8s.io/status
        {READ} resourceclaims.resource.k8s.io resourceclaims.resource.k8s.io/status
        {READ} resourceclaimtemplates.resource.k8s.io
        {READ} daemonsets.extensions/status deployments.extensions/status ingresses.extensions/status
        {READ} replicasets.extensions/status
    """,
    "system:node": f"""
        create tokenreviews.authentication.k8s.io
        create subjectaccessreviews.authorization.k8s.io localsubjectaccessreviews.authorization.k8s.io
        {READ} services pods secrets configmaps
        create,get,list,watch,update,patch nodes
        update,patch nodes/status pods/status
        {EVENTS}
        get serviceaccounts
        create,delete pods
        create pods/eviction serviceaccounts/token
        get persistentvolumeclaims persistentvolumes endpoints
        get,update,patch persistentvolumeclaims/status
        create,get,list,watch certificatesigningrequests.certificates.k8s.io
        {READ} clustertrustbundles.certificates.k8s.io
        create,get,list,watch podcertificaterequests.certificates.k8s.io
        create,delete,get,patch,update leases.coordination.k8s.io csinodes.storage.k8s.io
        get volumeattachments.storage.k8s.io
        {READ} csidrivers.storage.k8s.io runtimeclasses.node.k8s.io
        get resourceclaims.resource.k8s.io
        deletecollection resourceslices.resource.k8s.io
    """,
    "system:node-problem-detector": f"""
        get nodes
        patch nodes/status
        {EVENTS}
    """,
    "system:node-proxier": f"""
        list,watch services endpoints
        {READ} nodes
        {EVENTS}
        list,watch endpointslices.discovery.k8s.io servicecidrs.networking.k8s.io
    """,
    "system:kubelet-api-admin": f"""
        {READ} nodes
        proxy nodes
        * nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats
    """,
    "system:node-bootstrapper": "create,get,list,watch certificatesigningrequests.certificates.k8s.io",
    "system:auth-delegator": """
        create tokenreviews.authentication.k8s.io
        create subjectaccessreviews.authorization.k8s.io
    """,
    "system:kube-aggregator": f"{READ} services endpoints",
    "system:heapster": f"{READ} events pods nodes namespaces deployments.extensions",
    CONTROLLER_MANAGER: f"""
        {EVENTS}
        create leases.coordination.k8s.io
        get,update leases.coordination.k8s.io names=kube-controller-manager
        create secrets serviceaccounts
        delete secrets
        get namespaces secrets serviceaccounts configmaps
        update secrets serviceaccounts
        create tokenreviews.authentication.k8s.io
        create subjectaccessreviews.authorization.k8s.io
        list,watch *.*
        create serviceaccounts/token
    """,
    "system:kube-scheduler": f"""
        {EVENTS}
        create leases.coordination.k8s.io
        get,update,list,watch leases.coordination.k8s.io names=kube-scheduler
        create leasecandidates.coordination.k8s.io
        get,list,watch,update,delete,deletecollection,patch leasecandidates.coordination.k8s.io
        {READ} nodes namespaces services replicationcontrollers persistentvolumeclaims persistentvolumes
        get,list,watch,delete pods
        create pods/binding bindings
        patch,update pods/status
        update pods/finalizers
        {READ} replicasets.extensions
        {READ} replicasets.apps statefulsets.apps poddisruptionbudgets.policy
        create tokenreviews.authentication.k8s.io
        create subjectaccessreviews.authorization.k8s.io
        {READ} csinodes.storage.k8s.io csidrivers.storage.k8s.io csistoragecapacities.storage.k8s.io
        {READ} volumeattachments.storage.k8s.io podgroups.scheduling.k8s.io
        {READ} deviceclasses.resource.k8s.io resourceslices.resource.k8s.io
        {READ} devicetaintrules.resource.k8s.io
        get,list,watch,create,delete,update,patch resourceclaims.resource.k8s.io
        get,list,watch,update,patch resourceclaims.resource.k8s.io/status
        update,patch resourceclaims.resource.k8s.io/binding
    """,
    "system:volume-scheduler": f"""
        get,list,watch,patch,update persistentvolumes persistentvolumeclaims
        {READ} storageclasses.storage.k8s.io
    """,
    "system:kube-dns": "list,watch endpoints services",
    "system:kaa-dns": "list,watch services namespaces pods endpointslices.discovery.k8s.io",
    "system:persistent-volume-provisioner": f"""
        get,list,watch,create,delete persistentvolumes
        get,list,watch,update persistentvolumeclaims
        {READ} storageclasses.storage.k8s.io
        watch events
        {EVENTS}
    """,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create certificatesigningrequests.certificates.k8s.io/nodeclient"
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create certificatesigningrequests.certificates.k8s.io/selfnodeclient"
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        "approve signers.certificates.k8s.io names=kubernetes.io/legacy-unknown"
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        "approve signers.certificates.k8s.io names=kubernetes.io/kubelet-serving"
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        "approve signers.certificates.k8s.io names=kubernetes.io/kube-apiserver-client"
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        "approve signers.certificates.k8s.io names=kubernetes.io/kube-apiserver-client-kubelet"
    ),
}

AGGREGATED = ("admin", "edit", "view")
AGGREGATE_LABELS = {
    "edit": "admin",
    "view": "edit",
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}
"""role -> the aggregated role that it is part of: admin contains edit contains view."""

AUTHENTICATED, UNAUTHENTICATED = "group system:authenticated", "group system:unauthenticated"

CLUSTER_ROLE_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("group system:masters",),
    "system:monitoring": ("group system:monitoring",),
    "system:discovery": (AUTHENTICATED,),
    "system:basic-user": (AUTHENTICATED,),
    "system:public-info-viewer": (AUTHENTICATED, UNAUTHENTICATED),
    "system:service-account-issuer-discovery": ("group system:serviceaccounts",),
    "system:cluster-trust-bundle-discovery": ("group system:serviceaccounts",),
    "system:node": (),  # nodes are the node authorizer's; the empty binding is upstream's too
    "system:node-proxier": ("user system:kube-proxy",),
    CONTROLLER_MANAGER: (f"user {CONTROLLER_MANAGER}",),
    "system:kube-dns": ("serviceaccount kube-system/kube-dns",),
    "system:kaa-dns": ("user system:kaa-dns",),
    "system:kube-scheduler": ("user system:kube-scheduler",),
    "system:volume-scheduler": ("user system:kube-scheduler",),
}
"""binding and role of the same name -> subjects."""

ROLES: dict[tuple[str, str], str] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        f"{READ} configmaps names=extension-apiserver-authentication"
    ),
    ("kube-system", "system:controller:bootstrap-signer"): f"{READ} secrets",
    ("kube-system", "system:controller:cloud-provider"): "create,get,list,watch configmaps",
    ("kube-system", "system:controller:token-cleaner"): f"get,list,watch,delete secrets\n{EVENTS}",
    ("kube-system", "system::leader-locking-kube-controller-manager"): LEADER_LOCKING,
    ("kube-system", "system::leader-locking-kube-scheduler"): LEADER_LOCKING,
    ("kube-public", "system:controller:bootstrap-signer"): f"""
        {READ} configmaps
        update configmaps names=cluster-info
        {EVENTS}
    """,
}

ROLE_BINDINGS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        (f"user {CONTROLLER_MANAGER}", "user system:kube-scheduler"),
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        (
            f"user {CONTROLLER_MANAGER}",
            "serviceaccount kube-system/kube-controller-manager",
            "serviceaccount kube-system/leader-election-controller",
        ),
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        ("user system:kube-scheduler", "serviceaccount kube-system/kube-scheduler"),
    ),
    *(
        (namespace, f"system:controller:{name}", f"system:controller:{name}", (f"serviceaccount kube-system/{name}",))
        for namespace, name in (
            ("kube-system", "bootstrap-signer"),
            ("kube-system", "cloud-provider"),
            ("kube-system", "token-cleaner"),
            ("kube-public", "bootstrap-signer"),
        )
    ),
)
"""namespace, binding, role, subjects."""
