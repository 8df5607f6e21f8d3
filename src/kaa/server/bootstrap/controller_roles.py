"""What each controller may do: upstream's `system:controller:*` roles, in the notation of `policy.py`."""

RBAC = "rbac.authorization.k8s.io"
READ = "get,list,watch"
WRITE = "create,delete,deletecollection,patch,update"
EVENTS = "create,patch,update events events.events.k8s.io"

CONTROLLER_ROLES: dict[str, str] = {
    "attachdetach-controller": f"""
        list,watch persistentvolumes persistentvolumeclaims pods
        {READ} nodes csidrivers.storage.k8s.io csinodes.storage.k8s.io
        patch,update nodes/status
        get,create,delete,list,watch volumeattachments.storage.k8s.io
        {EVENTS}
    """,
    "certificate-controller": f"""
        get,list,watch,delete certificatesigningrequests.certificates.k8s.io
        update certificatesigningrequests.certificates.k8s.io/status
        update certificatesigningrequests.certificates.k8s.io/approval
        approve signers.certificates.k8s.io names=kubernetes.io/kube-apiserver-client-kubelet
        sign signers.certificates.k8s.io names=kubernetes.io/legacy-unknown,kubernetes.io/kube-apiserver-client
        sign signers.certificates.k8s.io names=kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving
        create subjectaccessreviews.authorization.k8s.io
        {EVENTS}
    """,
    "clusterrole-aggregation-controller": f"escalate,get,list,watch,update,patch clusterroles.{RBAC}",
    "cronjob-controller": f"""
        get,list,watch,update cronjobs.batch
        get,list,watch,create,update,delete,patch jobs.batch
        update cronjobs.batch/status cronjobs.batch/finalizers
        list,watch,delete pods
        {EVENTS}
    """,
    "daemon-set-controller": f"""
        {READ} daemonsets.apps daemonsets.extensions
        update daemonsets.apps/status daemonsets.apps/finalizers
        update daemonsets.extensions/status daemonsets.extensions/finalizers
        list,watch nodes
        list,watch,create,delete,patch pods
        create pods/binding
        get,list,watch,create,delete,update,patch controllerrevisions.apps
        {EVENTS}
    """,
    "deployment-controller": f"""
        get,list,watch,update deployments.apps deployments.extensions
        update deployments.apps/status deployments.apps/finalizers
        update deployments.extensions/status deployments.extensions/finalizers
        get,list,watch,create,update,patch,delete replicasets.apps replicasets.extensions
        get,list,watch,update pods
        {EVENTS}
    """,
    "device-taint-eviction-controller": f"""
        get,list,watch,delete pods
        update,patch pods/status
        {READ} resourceclaims.resource.k8s.io resourceslices.resource.k8s.io deviceclasses.resource.k8s.io
        {READ} devicetaintrules.resource.k8s.io
        update,patch devicetaintrules.resource.k8s.io/status
        {EVENTS}
    """,
    "disruption-controller": f"""
        {READ} deployments.apps replicasets.apps statefulsets.apps replicationcontrollers poddisruptionbudgets.policy
        {READ} deployments.extensions replicasets.extensions
        update poddisruptionbudgets.policy/status
        patch,update pods/status
        get *.*/scale
        {EVENTS}
    """,
    "endpoint-controller": f"""
        {READ} services pods
        get,list,watch,create,update,delete endpoints
        create endpoints/restricted
        {EVENTS}
    """,
    "endpointslice-controller": f"""
        {READ} services pods nodes
        update services/finalizers
        get,list,watch,create,update,delete endpointslices.discovery.k8s.io
        {EVENTS}
    """,
    "endpointslicemirroring-controller": f"""
        {READ} services endpoints
        update services/finalizers endpoints/finalizers
        get,list,watch,create,update,delete endpointslices.discovery.k8s.io
        {EVENTS}
    """,
    "ephemeral-volume-controller": f"""
        {READ} pods
        update pods/finalizers
        get,list,watch,create persistentvolumeclaims
        {EVENTS}
    """,
    "expand-controller": f"""
        get,list,watch,update,patch persistentvolumes
        update,patch persistentvolumeclaims/status
        {READ} persistentvolumeclaims
        {EVENTS}
    """,
    "generic-garbage-collector": f"""
        get,list,watch,patch,update,delete *.*
        {EVENTS}
    """,
    "horizontal-pod-autoscaler": f"""
        {READ} horizontalpodautoscalers.autoscaling
        update horizontalpodautoscalers.autoscaling/status
        get,update *.*/scale
        list,watch pods pods.metrics.k8s.io
        {READ} *.custom.metrics.k8s.io *.external.metrics.k8s.io
        {EVENTS}
    """,
    "job-controller": f"""
        get,list,watch,update,patch jobs.batch
        update jobs.batch/status jobs.batch/finalizers
        list,watch,create,delete,patch pods
        {EVENTS}
    """,
    "kube-apiserver-serving-clustertrustbundle-publisher": f"""
        attest signers.certificates.k8s.io names=kubernetes.io/kube-apiserver-serving
        create,update,delete,list,watch clustertrustbundles.certificates.k8s.io
        {EVENTS}
    """,
    "legacy-service-account-token-cleaner": """
        get configmaps names=kube-apiserver-legacy-service-account-token-tracking
        patch,delete secrets
    """,
    "namespace-controller": """
        get,list,watch,delete namespaces
        update namespaces/finalize namespaces/status
        get,list,watch,delete,deletecollection *.*
    """,
    "node-controller": f"""
        get,list,watch,update,delete,patch nodes
        patch,update nodes/status pods/status
        list,watch,get,delete pods
        {READ} leases.coordination.k8s.io
        {EVENTS}
    """,
    "persistent-volume-binder": f"""
        get,list,watch,update,create,delete persistentvolumes
        get,list,watch,update persistentvolumeclaims
        update persistentvolumes/status persistentvolumeclaims/status
        list,watch,get,create,delete pods
        {READ} storageclasses.storage.k8s.io
        list,watch nodes
        watch events
        {EVENTS}
    """,
    "pod-garbage-collector": f"""
        list,watch,delete pods
        {READ} nodes
        patch pods/status
    """,
    "podcertificaterequestcleaner": "get,list,watch,delete podcertificaterequests.certificates.k8s.io",
    "pv-protection-controller": f"""
        get,list,watch,update persistentvolumes
        {EVENTS}
    """,
    "pvc-protection-controller": f"""
        get,list,watch,update persistentvolumeclaims
        update persistentvolumeclaims/status
        {READ} pods
        {EVENTS}
    """,
    "replicaset-controller": f"""
        get,list,watch,update replicasets.apps replicasets.extensions
        update replicasets.apps/status replicasets.apps/finalizers
        update replicasets.extensions/status replicasets.extensions/finalizers
        list,watch,patch,create,delete pods
        {EVENTS}
    """,
    "replication-controller": f"""
        get,list,watch,update replicationcontrollers
        update replicationcontrollers/status replicationcontrollers/finalizers
        list,watch,patch,create,delete pods
        {EVENTS}
    """,
    "resource-claim-controller": f"""
        {READ} pods
        update pods/finalizers
        get,list,watch,create,delete,update,patch resourceclaims.resource.k8s.io
        update,patch resourceclaims.resource.k8s.io/status resourceclaims.resource.k8s.io/binding pods/status
        {EVENTS}
    """,
    "resourcequota-controller": f"""
        list,watch *.*
        update resourcequotas/status
        {EVENTS}
    """,
    "root-ca-cert-publisher": f"""
        create,update configmaps
        {EVENTS}
    """,
    "route-controller": f"""
        list,watch nodes
        patch nodes/status
        {EVENTS}
    """,
    "selinux-warning-controller": f"""
        {READ} persistentvolumes persistentvolumeclaims pods csidrivers.storage.k8s.io
        {EVENTS}
    """,
    "service-account-controller": f"""
        create serviceaccounts
        {EVENTS}
    """,
    "service-cidrs-controller": f"""
        get,list,watch,patch,update servicecidrs.networking.k8s.io
        patch,update servicecidrs.networking.k8s.io/finalizers servicecidrs.networking.k8s.io/status
        {READ} ipaddresses.networking.k8s.io
        {EVENTS}
    """,
    "service-controller": f"""
        {READ} services
        patch,update services/status
        list,watch nodes
        {EVENTS}
    """,
    "statefulset-controller": f"""
        {READ} statefulsets.apps
        update statefulsets.apps/status statefulsets.apps/finalizers
        get,list,watch,create,delete,update,patch pods controllerrevisions.apps
        get,create,list,watch,update,delete persistentvolumeclaims
        update pods/finalizers
        {EVENTS}
    """,
    "storage-version-migrator-controller": """
        list,patch *.*
        update storageversionmigrations.storagemigration.k8s.io/status
        get customresourcedefinitions.apiextensions.k8s.io
        patch customresourcedefinitions.apiextensions.k8s.io/status
    """,
    "ttl-after-finished-controller": f"""
        get,list,watch,delete jobs.batch
        {EVENTS}
    """,
    "ttl-controller": f"""
        update,patch,list,watch nodes
        {EVENTS}
    """,
    "validatingadmissionpolicy-status-controller": f"""
        {READ} validatingadmissionpolicies.admissionregistration.k8s.io
        get,patch,update validatingadmissionpolicies.admissionregistration.k8s.io/status
        {EVENTS}
    """,
    "volumeattributesclass-protection-controller": f"""
        {READ} persistentvolumeclaims persistentvolumes
        get,list,watch,update volumeattributesclasses.storage.k8s.io
        {EVENTS}
    """,
}
"""Each is the ClusterRole `system:controller:<name>`, bound to the ServiceAccount `kube-system/<name>`."""
