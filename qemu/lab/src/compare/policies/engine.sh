# The end of a policy whose engine is a chmu promote that was started just before.
engine=$!
trap 'kill $engine; wait $engine || :; exit 0' TERM
until chmu status >/dev/null 2>&1; do
    kill -0 $engine
    sleep 0.1
done
: >"$READY"
wait $engine
