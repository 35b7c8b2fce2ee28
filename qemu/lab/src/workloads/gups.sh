# summary: Random updates of a table, nine in ten of a window that moves
# packages: none
# footprint: 64 MiB
# verified: every word, once all updates are undone
set -eu
: "${SCALE:=1}" "${BREAK:=}"
exec chmu workload gups --mib $((64 * SCALE)) --updates $((2000000 * SCALE)) ${BREAK:+--spoil}
