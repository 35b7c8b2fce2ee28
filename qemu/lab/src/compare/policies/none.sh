# summary: nobody moves a page
# place: slow
: >"$READY"
exec sleep 1000000
