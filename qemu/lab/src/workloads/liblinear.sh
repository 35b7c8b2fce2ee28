# summary: Training of a linear classifier on sparse data, by liblinear
# packages: liblinear-tools perl-base
# footprint: 50 MiB
# verified: what it predicts of points that it has not seen, 17 in 20 at least
set -eu
: "${SCALE:=1}" "${BREAK:=}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Points of a plane through three thousand dimensions, thirty of them each.
perl -e 'my ($scale, $folder, $break) = @ARGV; srand(1);
    my @plane = map { rand() - 0.5 } 1 .. 3_000;
    for (["train", 20_000 * $scale], ["test", 2_000]) {
        my ($name, $points) = @$_;
        open my $out, ">", "$folder/$name" or die "$name: $!\n";
        for (1 .. $points) {
            my %at; $at{int(1 + 3_000 * rand() ** 3)} = rand() - 0.5 for 1 .. 30;
            my $side = 0; $side += $at{$_} * $plane[$_ - 1] for keys %at;
            my $label = $side > 0 ? 1 : -1;
            $label = -$label if $break && $name eq "test";
            print $out join(" ", $label, map { sprintf "%d:%.4f", $_, $at{$_} } sort { $a <=> $b } keys %at), "\n";
        }
    }' "$SCALE" "$folder" "$BREAK"
echo "Training"
liblinear-train -q -s 2 -c 1 "$folder/train" "$folder/model"
right=$(liblinear-predict "$folder/test" "$folder/model" "$folder/predicted" | sed -n 's/^Accuracy = \([0-9]*\).*/\1/p')
[ "${right:-0}" -ge 85 ] || { echo "Only ${right:-0} % of the predictions are right" >&2; exit 1; }
echo "$right % of the predictions are right"
