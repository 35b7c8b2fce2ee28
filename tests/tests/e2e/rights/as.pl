# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Usage: perl as.pl USER RIGHTS COMMAND...
# Runs a command as the user of this number with these capabilities ("none" for none) and no others, on x86-64.
use strict;
use warnings;

# include/uapi/linux/capability.h
my %number = (
    dac_override    => 1,
    dac_read_search => 2,
    sys_ptrace      => 19,
    sys_admin       => 21,
    sys_nice        => 23,
);
my ($setgroups, $setresuid, $setresgid, $capset, $prctl) = (116, 117, 119, 126, 157);
my ($KEEPCAPS, $CAPBSET_DROP, $CAP_AMBIENT, $RAISE) = (8, 24, 47, 2);

my ($user, $names, @command) = @ARGV;
$user += 0;
my @wanted = map { $number{$_} // die "There is no right $_\n" } grep { $_ ne 'none' } split /,/, $names;
my %is_wanted = map { $_ => 1 } @wanted;

sub must {
    my ($what, $result) = @_;
    $result == 0 or die "$what: $!\n";
}

# Root gets by its next program all that the bounding set has.
for my $right (0 .. 40) {
    must('bounding set', syscall($prctl, $CAPBSET_DROP, $right, 0, 0, 0)) unless $is_wanted{$right};
}
must('keeping rights', syscall($prctl, $KEEPCAPS, 1, 0, 0, 0));
must('groups', syscall($setgroups, 0, 0));
must('group', syscall($setresgid, $user, $user, $user));
must('user', syscall($setresuid, $user, $user, $user));
my @words = (0, 0);
$words[$_ >> 5] |= 1 << ($_ & 31) for @wanted;
my $header = pack 'LL', 0x20080522, 0;
my $sets = pack 'L6', map { ($_, $_, $_) } @words;
must('rights', syscall($capset, $header, $sets));
must('ambient rights', syscall($prctl, $CAP_AMBIENT, $RAISE, $_, 0, 0)) for @wanted;
exec { $command[0] } @command or die "$command[0]: $!\n";
