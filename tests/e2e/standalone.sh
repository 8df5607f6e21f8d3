#!/bin/sh
# Every component as a program of its own, in namespaces that end with this script. usage: standalone.sh DIR IMAGE_ARCHIVE
set -eu
dir=$1 archive=$2 address=172.31.255.1
mount -t tmpfs tmpfs /run
echo 1 >/proc/sys/net/ipv4/ip_forward
ip -batch - <<IP
link set lo up
link add up0 type veth peer name up1
link set up0 up
link set up1 up
address add $address/24 dev up0
route add unreachable 10.244.0.0/16
route add 10.96.0.0/16 dev up0
IP
export KUBECONFIG=$dir/admin.kubeconfig
retry() { # a command until it succeeds, at most 30 s
    for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done
    echo "gave up: $*" >&2
    tail -n 5 "$dir"/*.log >&2
    exit 1
}

kaa apiserver --data-dir "$dir" --bind-address 127.0.0.1 --bind-address $address --advertise-address $address \
    2>"$dir/apiserver.log" &
retry test -e "$KUBECONFIG"
retry kubectl get --raw /readyz
python - "$dir/runtime" "$archive" <<'PYTHON'
import asyncio, sys
from pathlib import Path
from kaa.cri.images import Images
from kaa.cri.snapshots import Snapshots
from kaa.lib.clock import WallClock

async def load(root):
    images = Images(root / "images", Snapshots(root / "snapshots", Path("/run/links")), WallClock())
    await images.load_archive(Path(sys.argv[2]))

asyncio.run(load(Path(sys.argv[1])))
PYTHON
kaa controller-manager --kubeconfig "$KUBECONFIG" --root-ca-file "$dir/pki/ca.crt" 2>"$dir/controllers.log" &
kaa scheduler --kubeconfig "$KUBECONFIG" 2>"$dir/scheduler.log" &
kaa runtime --listen unix:///run/cri.sock --root "$dir/runtime" --state /run/kaa 2>"$dir/runtime.log" &
retry test -S /run/cri.sock
kaa kubelet --kubeconfig "$KUBECONFIG" --container-runtime-endpoint unix:///run/cri.sock --node-ip $address \
    --hostname-override solo --root-dir "$dir/kubelet" --pod-log-dir "$dir/pods" --cgroup-root /kaa-standalone --cluster-dns $address \
    --tls-cert-file "$dir/pki/apiserver.crt" --tls-private-key-file "$dir/pki/apiserver.key" \
    --client-ca-file "$dir/pki/ca.crt" 2>"$dir/kubelet.log" &
kaa proxy --kubeconfig "$KUBECONFIG" --node-name solo --node-ip $address 2>"$dir/proxy.log" &
kaa dns --kubeconfig "$KUBECONFIG" --listen $address --no-forward 2>"$dir/dns.log" &

retry kubectl wait --for=condition=Ready node/solo --timeout=1s
retry kubectl get serviceaccount default
kubectl run web --image=kaa-hello:1.0 --port=8080 --expose -- -p 8080 -h /etc
retry kubectl wait --for=condition=Ready pod/web --timeout=1s
kubectl exec web -- sh -c 'echo from inside' # through API server, kubelet and runtime
cluster_ip=$(kubectl get service web -o 'jsonpath={.spec.clusterIP}')
retry sh -c "printf 'GET /passwd HTTP/1.0\r\n\r\n' | busybox nc -w 2 $cluster_ip 8080 | grep -q nobody"
kubectl exec web -- nslookup web.default.svc.cluster.local | grep "Address: $cluster_ip"
echo all components work
