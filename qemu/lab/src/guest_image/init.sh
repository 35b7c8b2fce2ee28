#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# The guest's first process. Kernel command line:
#   chmu.mode=region|vfio|none   which driver gets the CXL devices (default: region)
#   chmu.memory=dax   the region's memory is a dax device (default: System RAM)
#   chmu.root=DEVICE|shareN   what programs see is the file system on it (default: this one)
#   chmu.grow   the file system takes all of its device
#   chmu.shell   a shell on the console; the machine goes down when it ends
#   chmu.hostname=NAME   (default: chmu)
#   LINES=NUMBER COLUMNS=NUMBER   size of the console's terminal; the kernel hands both on

export PATH=/usr/sbin:/usr/bin HOME=/
/bin/busybox --install -s /bin

complain() {
    echo "<3>chmu-init: $*" >/dev/kmsg
}

# Writes a setting where this kernel has it.
set_value() {
    [ ! -e "$1" ] || echo "$2" >"$1" || complain "cannot write $2 to $1"
}

mount_file_systems() {
    mount -t proc none /proc
    mount -t sysfs none /sys
    mount -t devtmpfs none /dev
    mkdir -p /dev/shm /dev/pts
    mount -t tmpfs none /dev/shm
    mount -t devpts none /dev/pts
    mount -t tmpfs none /tmp
    mount -t tmpfs none /run
    [ ! -d /sys/kernel/debug ] || mount -t debugfs none /sys/kernel/debug
    [ ! -d /sys/kernel/tracing ] || mount -t tracefs none /sys/kernel/tracing
}

read_command_line() {
    mode=region memory= root= grow= shell= name=chmu
    for word in $(cat /proc/cmdline); do
        case $word in
        chmu.mode=*) mode=${word#*=} ;;
        chmu.memory=*) memory=${word#*=} ;;
        chmu.root=*) root=${word#*=} ;;
        chmu.grow) grow=yes ;;
        chmu.hostname=*) name=${word#*=} ;;
        chmu.shell) shell=yes ;;
        esac
    done
}

# Programs of distributions look modules up, also those that are loaded.
index_modules() {
    [ -x /usr/sbin/depmod ] || return 0
    for list in modules.order modules.builtin modules.builtin.modinfo; do
        : >"/lib/modules/$(uname -r)/$list"
    done
    /usr/sbin/depmod || complain "depmod failed"
}

# The words MODULE.NAME=VALUE of the command line, as modprobe hands them on.
parameters() {
    for word in $(cat /proc/cmdline); do
        case $word in
        "$1".*) echo "${word#*.}" ;;
        esac
    done
}

load_modules() {
    while read -r module; do
        [ ! -d "/sys/module/$module" ] || continue
        # shellcheck disable=SC2046
        insmod "/lib/modules/$(uname -r)/$module.ko" $(parameters "$module") ||
            complain "cannot load the module $module"
    done <"/lib/modules/$1.order"
}

# The region's dax device starts as one, though its default is the driver that makes it System RAM:
# so that a user can open it, or have daxctl change it.
bind_dax() {
    set_value /sys/bus/dax/drivers_autoprobe 0
    load_modules dax
    set_value /sys/bus/dax/drivers_autoprobe 1
    for device in /sys/bus/dax/devices/dax*; do
        set_value /sys/bus/dax/drivers/device_dax/new_id "${device##*/}"
    done
}

# PCI class 05 02: memory controller, CXL.
bind_vfio() {
    for device in /sys/bus/pci/devices/*; do
        case $(cat "$device/class") in
        0x0502*)
            echo vfio-pci >"$device/driver_override"
            echo "${device##*/}" >/sys/bus/pci/drivers_probe
            [ -e "$device/driver" ] || complain "vfio-pci does not take ${device##*/}"
            ;;
        esac
    done
}

# A folder of the host's.
mount_share() {
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$2" "$1" "$3" ||
        complain "cannot mount the shared folder on $3"
}

# Below $1. A line for each, with tag, rw or ro, and place.
mount_shares() {
    [ -e /etc/chmu-mounts ] || return 0
    while IFS="$(printf '\t')" read -r tag access place; do
        mkdir -p "$1$place"
        mount_share "$tag" "$access" "$1$place"
    done </etc/chmu-mounts
}

# What is written to a shared root file system stays in the guest's memory.
mount_root() {
    case $root in
    share*)
        mkdir -p /below /above
        mount_share "$root" ro /below
        mount -t tmpfs none /above
        mkdir -p /above/files /above/work
        mount -t overlay -o lowerdir=/below,upperdir=/above/files,workdir=/above/work none /root
        ;;
    *) mount "$root" /root ;;
    esac
}

# Everything that is mounted moves along, but for /tmp, which the new file system has itself.
enter_root() {
    mkdir -p /root
    if ! mount_root; then
        complain "cannot mount $root, the root file system"
        poweroff -f
    fi
    umount /tmp
    for folder in proc sys dev run; do
        mkdir -p "/root/$folder"
        mount --move "/$folder" "/root/$folder"
    done
    mkdir -p /root/usr/local/bin /root/usr/local/lib/chmu
    cp /usr/bin/chmu /root/usr/local/bin/chmu
    cp /usr/bin/busybox /userland-init /root/usr/local/lib/chmu/
    mount_shares /root
    exec switch_root /root /usr/local/lib/chmu/userland-init ${shell:+shell} ${grow:+"$root"}
}

mount_file_systems
read_command_line
hostname "$name"
index_modules
case $mode in
region)
    load_modules region
    [ "$memory" != dax ] || bind_dax
    ;;
vfio) load_modules vfio && bind_vfio ;;
none) ;;
*) complain "chmu.mode=$mode is none of region, vfio and none" ;;
esac
load_modules own
if [ -n "$root" ] || [ -e /etc/chmu-mounts ]; then
    load_modules storage
fi
[ -z "$root" ] || enter_root
mount_shares ""
if [ -n "$shell" ]; then
    [ -z "$LINES" ] || stty rows "$LINES" cols "$COLUMNS" </dev/console
    unset LINES COLUMNS
    setsid cttyhack sh
elif [ -c /dev/ttyS1 ]; then
    chmu agent --port /dev/ttyS1 || complain "the agent failed"
else
    complain "there is no second serial port for the agent"
fi
poweroff -f
