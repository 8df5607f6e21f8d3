#!/bin/sh
# Deploys the sample to a running cluster, waits for it, and fetches its page through the NodePort from this host.
# usage: deploy.sh [CLUSTER]
set -eu
cluster=${1:-dev}
here=$(dirname "$0")
kubectl="kaa kubectl --name $cluster"

archive=$(mktemp --suffix=.tar)
trap 'rm -f "$archive"' EXIT
python "$here/build_image.py" "$archive"
kaa image load --name "$cluster" "$archive"

$kubectl apply -f "$here/hello.yaml"
$kubectl -n hello rollout status deployment/hello --timeout=120s

address=$($kubectl get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
port=$($kubectl -n hello get service hello-nodeport -o 'jsonpath={.spec.ports[0].nodePort}')
url="http://$address:$port/"
echo
echo "The page, fetched from this host through the NodePort:"
python - "$url" <<'PYTHON'
import sys, urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the node is on this machine
print(opener.open(sys.argv[1], timeout=10).read().decode())
PYTHON
$kubectl -n hello get all
program=$(command -v kaa)
program=${program#"$PWD/"} # as it can be typed here
cat <<TEXT

The page:       $url
The cluster:    $program status --name $cluster
kubectl:        $program kubectl --name $cluster get pods -A     (or: kubectl --context kaa-$cluster ...)
More replicas:  $program kubectl --name $cluster -n hello scale deployment hello --replicas=5
A shell:        $program kubectl --name $cluster -n hello exec -it deployment/hello -- sh
Take it down:   $program down --name $cluster
TEXT
