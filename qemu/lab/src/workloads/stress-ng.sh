# summary: All of stress-ng's ways to write memory and to read it again
# packages: stress-ng
# footprint: 64 MiB
# verified: by stress-ng itself, each pattern as it is read
set -eu
: "${SCALE:=1}" "${BREAK:=}"
[ -z "$BREAK" ] || { echo "stress-ng cannot be told to find something wrong" >&2; exit 1; }
stress-ng --vm 1 --vm-bytes $((64 * SCALE))M --vm-method all --vm-keep --verify --vm-ops $((20000 * SCALE)) --metrics-brief --quiet
echo "All patterns are right"
