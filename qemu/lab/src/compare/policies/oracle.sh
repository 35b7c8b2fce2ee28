# summary: the workload itself says which pages are hot, and these are moved at once
# place: slow
set -eu
field() { grep -o "\"$1\":[0-9]*" /run/state | head -n 1 | cut -d: -f2; }
hot() {
    grep -o '"hot_pages":\[[0-9,]*' /run/state | cut -d[ -f2 | awk -F, -v t="$1" -v pid="$(field process_id)" \
        -v start="$(field address)" -v bytes="$(field page_bytes)" '{
            printf "{\"t\":%s,\"hot\":[", t
            for (i = 1; i <= NF; i++)
                printf "%s{\"pid\":%d,\"address\":%.0f,\"weight\":100}", (i > 1 ? "," : ""), pid, start + $i * bytes
            print "]}"
        }'
}
rm -f /run/hot
mkfifo /run/hot
chmu promote --source stream:/run/hot --actuator move-pages --ledger /run/policy.jsonl >/dev/null &
engine=$!
trap 'exec 3>&-; kill $engine; wait $engine || :; exit 0' TERM
exec 3>/run/hot
: >"$READY"
told=
seen=
while :; do
    # Each state is a file of its own that takes the name of the one before.
    file=$(ls -i "$STATE")
    if [ "$file" != "$seen" ]; then
        seen=$file
        tr -d ' \n' <"$STATE" >/run/state
        now=$(field hot_since_ns)
        if [ "$now" != "$told" ]; then
            hot "$now" >&3
            told=$now
        fi
    fi
    sleep 0.1
done
