# summary: DAMON watches the CXL node and moves what it finds accessed, by sysfs, as its module for tiers does
# place: slow
set -eu
admin=/sys/kernel/mm/damon/admin/kdamonds
node=/sys/devices/system/node/node1
block=$((0x$(cat /sys/devices/system/memory/block_size_bytes)))
set -- $(for folder in "$node"/memory[0-9]*; do echo "${folder##*memory}"; done | sort -n)
first=$1
for last; do :; done
echo 1 >$admin/nr_kdamonds
trap 'echo off >$admin/0/state; echo 0 >$admin/nr_kdamonds; exit 0' TERM
context=$admin/0/contexts/0
echo 1 >$admin/0/contexts/nr_contexts
echo paddr >$context/operations
echo 5000 >$context/monitoring_attrs/intervals/sample_us
echo 100000 >$context/monitoring_attrs/intervals/aggr_us
echo 1 >$context/targets/nr_targets
echo 1 >$context/targets/0/regions/nr_regions
echo $((first * block)) >$context/targets/0/regions/0/start
echo $(((last + 1) * block)) >$context/targets/0/regions/0/end
echo 1 >$context/schemes/nr_schemes
scheme=$context/schemes/0
echo migrate_hot >$scheme/action
echo 0 >$scheme/target_nid
echo 4096 >$scheme/access_pattern/sz/min
echo 18446744073709551615 >$scheme/access_pattern/sz/max
echo 1 >$scheme/access_pattern/nr_accesses/min
echo 4294967295 >$scheme/access_pattern/nr_accesses/max
echo 4294967295 >$scheme/access_pattern/age/max
# At most 200 MiB each second, the hottest regions first.
echo $((200 << 20)) >$scheme/quotas/bytes
echo 1000 >$scheme/quotas/reset_interval_ms
echo 1000 >$scheme/quotas/weights/nr_accesses_permil
echo on >$admin/0/state
: >"$READY"
while :; do sleep 1; done
