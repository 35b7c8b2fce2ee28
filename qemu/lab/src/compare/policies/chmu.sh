# summary: the hot lists of a hotness monitoring unit, and this project's engine
# place: slow
set -eu
chmu promote --seconds 1000000 --ledger /run/policy.jsonl >/dev/null &
engine=$!
trap 'kill $engine; wait $engine || :; exit 0' TERM
until chmu status >/dev/null 2>&1; do
    kill -0 $engine
    sleep 0.1
done
: >"$READY"
wait $engine
