#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# The first process in a root file system of its own; init.sh has made everything ready that is the
# kernel's. Arguments:
#   shell    the console gets a shell; else the agent serves
#   DEVICE   the root file system takes all of it

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
own=/usr/local/lib/chmu

complain() {
    echo "<3>chmu-init: $*" >/dev/kmsg
}

grow() {
    resize2fs "$1" >/run/resize2fs.log 2>&1 ||
        complain "cannot enlarge the root file system: $(tail -n 1 /run/resize2fs.log)"
}

shell=
for word in "$@"; do
    case $word in
    shell) shell=yes ;;
    *) grow "$word" ;;
    esac
done
mount -t cgroup2 none /sys/fs/cgroup
"$own/busybox" ip link set lo up
cd /root || cd /
if [ -n "$shell" ]; then
    [ -z "$LINES" ] || stty rows "$LINES" cols "$COLUMNS" </dev/console
    unset LINES COLUMNS
    [ ! -x /bin/bash ] || SHELL=/bin/bash
    "$own/busybox" setsid "$own/busybox" cttyhack "${SHELL:-/bin/sh}" -l
elif [ -c /dev/ttyS1 ]; then
    chmu agent --port /dev/ttyS1 || complain "the agent failed"
else
    complain "there is no second serial port for the agent"
fi
sync
"$own/busybox" poweroff -f
