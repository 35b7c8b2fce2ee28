#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Installs the package files in /packages into the file system on /dev/vda, with Debian's own dpkg in it,
# and says how many bytes of the disk it takes then. With the argument `new` the file system is made first.

set -e
root=/root

run() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
        DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true "$@"
}

# What dpkg itself needs must be there before it can install anything.
make_new() {
    mkfs.ext4 -F -q -O ^has_journal -L userland /dev/vda
    mount /dev/vda "$root"
    for package in /packages/*.deb; do
        busybox dpkg-deb -x "$package" "$root"
    done
    mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
    : >"$root/var/lib/dpkg/status"
    : >"$root/var/lib/dpkg/available"
    echo chmu >"$root/etc/hostname"
    echo "127.0.0.1 localhost chmu" >"$root/etc/hosts"
}

# Programs that packages want to start are a user's to start.
forbid_services() {
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
}

install_packages() {
    for folder in proc sys dev packages; do
        mkdir -p "$root/$folder"
        mount --bind "/$folder" "$root/$folder"
    done
    run /bin/sh -c 'dpkg --force-unsafe-io --force-depends --force-confnew --install /packages/*.deb'
    run dpkg --configure --pending
    missing=$(run dpkg --audit)
    if [ -n "$missing" ]; then
        echo "dpkg is not content: $missing" >&2
        exit 1
    fi
    for folder in proc sys dev packages; do
        umount "$root/$folder"
    done
    rmdir "$root/packages"
}

mkdir -p "$root"
if [ "$1" = new ]; then
    make_new
else
    e2fsck -f -p /dev/vda >/dev/null
    resize2fs /dev/vda >/dev/null 2>&1
    mount /dev/vda "$root"
fi
forbid_services
install_packages >/run/install.log 2>&1 || {
    tail -n 20 /run/install.log >&2
    exit 1
}
umount "$root"
e2fsck -f -p /dev/vda >/dev/null || [ $? -eq 1 ]
resize2fs -M /dev/vda >/dev/null 2>&1
dumpe2fs -h /dev/vda 2>/dev/null | awk -F: '
    $1 == "Block count" { blocks = $2 } $1 == "Block size" { size = $2 }
    END { printf "%d\n", blocks * size }'
