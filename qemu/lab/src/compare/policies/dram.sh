# summary: all pages are on DRAM from the beginning: the bound
# place: fast
: >"$READY"
exec sleep 1000000
