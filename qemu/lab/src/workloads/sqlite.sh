# summary: Look-ups in an sqlite table that fits into the page cache and not into sqlite's own
# packages: sqlite3 perl-base
# footprint: 64 MiB of page cache
# verified: the sum of what each look-up finds, the table's sums, sqlite's integrity check
set -eu
: "${SCALE:=1}" "${BREAK:=}"
folder=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$folder"' EXIT
rows=$((50000 * SCALE))
lookups=$((40000 * SCALE))
prime=1999999973
table() { sqlite3 -batch "$folder/table" "$@"; }
table "pragma journal_mode = off; pragma cache_size = -256; create table t (n integer primary key, v integer, pad text);
    with recursive n(n) as (select 1 union all select n + 1 from n where n < $rows)
    insert into t select n, n * 7919 % $prime, printf('%01000d', n) from n;" >/dev/null
echo "$rows rows"
[ -z "$BREAK" ] || table "update t set v = v + 1 where n = 7"
# Two thirds of the look-ups go to one row in sixteen.
expected=$(perl -e 'my ($rows, $lookups, $prime, $file) = @ARGV; my $sum = 0; srand(1);
    open my $out, ">", $file or die "$file: $!\n";
    print $out "pragma cache_size = -256;\ncreate temp table found (v integer);\n";
    for (1 .. $lookups) {
        my $n = 1 + int(rand(rand() < 2 / 3 ? $rows / 16 : $rows));
        $sum += $n * 7919 % $prime;
        print $out "insert into found select v from t where n = $n and length(pad) = 1000;\n";
    }
    print $out "select sum(v) from found;\n"; print $sum' "$rows" "$lookups" "$prime" "$folder/lookups.sql")
found=$(table <"$folder/lookups.sql")
[ "$found" = "$expected" ] || { echo "Look-ups find $found in place of $expected" >&2; exit 1; }
echo "$lookups look-ups are right"
all=$(table "select count(*) || ' ' || sum(v) || ' ' || sum(cast(pad as integer)) from t")
expected=$(perl -e 'my ($rows, $prime) = @ARGV; my ($v, $n) = (0, 0);
    for (1 .. $rows) { $v += $_ * 7919 % $prime; $n += $_ } print "$rows $v $n"' "$rows" "$prime")
[ "$all" = "$expected" ] || { echo "The table has $all in place of $expected" >&2; exit 1; }
[ "$(table 'pragma integrity_check')" = ok ] || { echo "The table is damaged" >&2; exit 1; }
echo "All $rows rows are right"
