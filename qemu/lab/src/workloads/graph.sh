# summary: Breadth-first searches of a Kronecker graph, and its PageRank
# packages: none
# footprint: 18 MiB
# verified: each search by the rules of Graph 500, each rank by the edges
set -eu
: "${SCALE:=1}" "${BREAK:=}"
scale=16
while [ "$SCALE" -gt 1 ]; do SCALE=$((SCALE / 2)) scale=$((scale + 1)); done
exec chmu workload graph --scale "$scale" ${BREAK:+--spoil}
