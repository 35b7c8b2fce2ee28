# summary: Random reads and writes of a file on ext4 through the page cache, by fio
# packages: fio
# footprint: 64 MiB of page cache
# verified: every block's checksum, as it is read and once more at the end
set -eu
: "${SCALE:=1}" "${BREAK:=}"
folder=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$folder"' EXIT
job() {
    fio --name=pages --filename="$folder/file" --size=$((64 * SCALE))M --bs=4k --ioengine=psync --direct=0 --invalidate=0 \
        --rw=randwrite --randseed=1 --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
        --minimal "$@" >"$folder/result" || { grep -v '^[0-9];' "$folder/result" >&2; return 1; }
}
job --do_verify=1
echo "Blocks are right as they are read"
[ -z "$BREAK" ] || printf broken | dd of="$folder/file" bs=1 seek=20000 conv=notrunc 2>/dev/null
job --verify_only || { echo "A block is wrong" >&2; exit 1; }
echo "All blocks are right"
