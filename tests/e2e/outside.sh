#!/bin/sh
# A host with a way out, all of it in namespaces that end with this script: pods reach the outside through the host.
# usage: outside.sh DIR IMAGE_ARCHIVE
set -eu
dir=$1 archive=$2
here=$(dirname "$0")
outside=203.0.113.1 host=203.0.113.2 # documentation addresses (RFC 5737)
mount -t tmpfs tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys # the one of this network namespace
mount --rbind /run/cgroup /sys/fs/cgroup
echo "nameserver $outside" >/run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf

ip netns add outside
ip -batch - <<IP
link set lo up
link add up0 type veth peer name up1 netns outside
address add $host/24 dev up0
link set up0 up
IP
ip -n outside address add $outside/24 dev up1
ip -n outside link set up1 up
ip route add default via $outside
# Counts what must never come out: packets for pods or services.
ip netns exec outside nft -f - <<NFT
table ip watch {
  counter strays { }
  chain prerouting {
    type filter hook prerouting priority 0;
    ip daddr { 10.244.0.0/16, 10.96.0.0/16 } counter name strays
  }
}
NFT
ip netns exec outside python "$here/outside_world.py" $outside 2>"$dir/outside.log" &
for _ in $(seq 100); do busybox nc -w 1 $outside 80 </dev/null && break; sleep 0.1; done

before=$(cat /proc/sys/net/ipv4/ip_forward)
kaa up --name out --wait
kaa image load --name out "$archive"
kubectl="kaa kubectl --name out"
for _ in $(seq 100); do $kubectl get serviceaccount default >/dev/null 2>&1 && break; sleep 0.1; done
$kubectl run client --image=kaa-hello:1.0 --command -- sleep 600
$kubectl wait --for=condition=Ready pod/client --timeout=30s
seen=$($kubectl exec client -- sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 world.example 80 | tail -n 1")
echo "outside saw: $seen"
test "$seen" = $host
for stray in 10.96.200.200 10.244.200.200; do
    $kubectl exec client -- sh -c "nc -w 2 $stray 80 </dev/null" && exit 1
    busybox nc -w 2 $stray 80 </dev/null && exit 1
done
ip netns exec outside nft list counter ip watch strays | grep "packets 0 "
kaa down --name out
test "$(cat /proc/sys/net/ipv4/ip_forward)" = "$before"
nft list ruleset | grep -q kaa && exit 1
echo the way out works
