# summary: the hot lists of a hotness monitoring unit, and this project's engine
# place: slow
set -eu
chmu promote --seconds 1000000 --ledger /run/policy.jsonl >/dev/null &
