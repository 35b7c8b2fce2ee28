# summary: the kernel's NUMA balancing in its mode for memory tiers
# place: slow
set -eu
trap 'echo 0 >/proc/sys/kernel/numa_balancing; exit 0' TERM
echo 2 >/proc/sys/kernel/numa_balancing
: >"$READY"
while :; do sleep 1; done
