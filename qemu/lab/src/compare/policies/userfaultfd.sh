# summary: accessed bits of each page by userfaultfd, and this project's engine
# place: slow
# takes: userfaultfd
# needs: chmu workload --userfaultfd --pages 1 --hot-pages 1 --rounds 1
set -eu
chmu promote --source "userfaultfd:$PROCESS" --seconds 1000000 --ledger /run/policy.jsonl >/dev/null &
