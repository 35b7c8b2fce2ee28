# summary: A pointer chase through all lines of its memory, in random order
# packages: none
# footprint: 32 MiB
# verified: that each line was passed as often as the others
set -eu
: "${SCALE:=1}" "${BREAK:=}"
exec chmu workload chase --mib $((32 * SCALE)) ${BREAK:+--spoil}
