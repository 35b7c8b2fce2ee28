# summary: Zipf-like reads of a redis server, each value looked at; at the end all values are
# packages: redis-server perl-base
# footprint: 40 MiB
# verified: the value of every key
set -eu
: "${SCALE:=1}" "${BREAK:=}"
folder=$(mktemp -d)
redis-server --port 0 --unixsocket "$folder/socket" --dir "$folder" --save "" --appendonly no --daemonize yes \
    --pidfile "$folder/pid" >/dev/null
until redis-cli -s "$folder/socket" ping >/dev/null 2>&1; do sleep 0.1; done
if perl - "$folder/socket" "$SCALE" "$BREAK" <<'PERL'
use strict;
use IO::Socket::UNIX;
my ($path, $scale, $break) = @ARGV;
my $redis = IO::Socket::UNIX->new(Peer => $path) or die "redis: $!\n";
$| = 1;
my ($keys, $reads, $together) = (20_000 * $scale, 100_000 * $scale, 100);
sub value { my $key = shift; return sprintf("%010d,", $key * 2_654_435_761 % 9_999_999_967) x 93 }
sub words { return join '', '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_ }
sub answer {
    my $line = <$redis> // die "redis has gone\n";
    return $line unless $line =~ /^\$(-?\d+)/;
    die "redis has lost a key\n" if $1 < 0;
    my $value = '';
    read($redis, $value, $1 + 2) == $1 + 2 or die "redis has gone\n";
    return substr($value, 0, -2);
}
sub ask {
    my ($ask, $check, @keys) = @_;
    while (my @some = splice(@keys, 0, $together)) {
        print $redis map { $ask->($_) } @some;
        $redis->flush;
        $check->($_, answer()) for @some;
    }
}
sub check { my ($key, $value) = @_; die "The value of key $key is wrong\n" if $value ne value($key) }
ask(sub { words('SET', "key:$_[0]", value($_[0])) }, sub { $_[1] =~ /^\+OK/ or die "redis: $_[1]" }, 0 .. $keys - 1);
print "$keys keys\n";
ask(sub { words('SET', 'key:7', 'broken') }, sub { }, 0) if $break;
srand(1);
# Evenly spread over the logarithm: the n-th key as often as 1/n.
ask(sub { words('GET', "key:$_[0]") }, \&check, map { int($keys ** rand) - 1 } 1 .. $reads);
print "$reads reads are right\n";
ask(sub { words('GET', "key:$_[0]") }, \&check, 0 .. $keys - 1);
print "All $keys values are right\n";
PERL
then code=0; else code=1; fi
kill "$(cat "$folder/pid")"
exit $code
