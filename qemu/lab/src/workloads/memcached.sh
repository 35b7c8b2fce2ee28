# summary: Reads of a memcached server, most of one key in ten; at the end all values are looked at
# packages: memcached perl-base
# footprint: 40 MiB
# verified: the value of every key
set -eu
: "${SCALE:=1}" "${BREAK:=}"
folder=$(mktemp -d)
memcached -u root -s "$folder/socket" -m $((128 * SCALE)) -t 1 -d -P "$folder/pid"
until [ -S "$folder/socket" ] && [ -s "$folder/pid" ]; do sleep 0.1; done
if perl - "$folder/socket" "$SCALE" "$BREAK" <<'PERL'
use strict;
use IO::Socket::UNIX;
my ($path, $scale, $break) = @ARGV;
my $server = IO::Socket::UNIX->new(Peer => $path) or die "memcached: $!\n";
$| = 1;
my ($keys, $reads, $together) = (20_000 * $scale, 100_000 * $scale, 50);
sub value { my $key = shift; return sprintf("%010d,", $key * 2_654_435_761 % 9_999_999_967) x 93 }
sub store {
    my ($key, $value) = @_;
    print $server "set key:$key 0 0 " . length($value) . "\r\n$value\r\n";
    $server->flush;
    my $line = <$server> // die "memcached has gone\n";
    $line =~ /^STORED/ or die "memcached: $line";
}
sub check {
    my @keys = @_;
    while (my @some = splice(@keys, 0, $together)) {
        my %wanted = map { ("key:$_" => $_) } @some;
        print $server 'get ' . join(' ', keys %wanted) . "\r\n";
        $server->flush;
        while (1) {
            my $line = <$server> // die "memcached has gone\n";
            last if $line =~ /^END/;
            my ($name, $length) = $line =~ /^VALUE (\S+) \d+ (\d+)/ or die "memcached: $line";
            read($server, my $value, $length + 2) == $length + 2 or die "memcached has gone\n";
            my $key = delete $wanted{$name} // die "$name was not asked for\n";
            die "The value of key $key is wrong\n" if substr($value, 0, -2) ne value($key);
        }
        die "memcached has lost a key\n" if %wanted;
    }
}
store($_, value($_)) for 0 .. $keys - 1;
print "$keys keys\n";
store(7, 'broken') if $break;
srand(1);
check(map { int(rand() < 0.9 ? rand($keys / 10) : rand($keys)) } 1 .. $reads);
print "$reads reads are right\n";
check(0 .. $keys - 1);
print "All $keys values are right\n";
PERL
then code=0; else code=1; fi
kill "$(cat "$folder/pid")"
exit $code
