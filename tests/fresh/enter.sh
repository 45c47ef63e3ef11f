#!/bin/sh
# enter.sh ROOT KEPT... -- COMMAND...: runs COMMAND with the folder ROOT as its /, mounted as on a system that has booted.
# To be called as the first process of mount and PID namespaces of its own: with it go its mounts and
# its processes, however it ends. Each KEPT path is the host's, read only. Not by chroot: the kernel
# makes no user namespace for a process that is in one.
set -eu
root=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"

while [ "$1" != -- ]; do
    if [ -d "$1" ]; then
        mkdir -p ".$1"
    else
        mkdir -p ".$(dirname "$1")"
        touch ".$1"
    fi
    mount --rbind -o ro "$1" ".$1"
    shift
done
shift

mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0 1 2; do ln -s "/proc/self/fd/$number" "dev/$(echo stdin stdout stderr | cut -d ' ' -f $((number + 1)))"; done

pivot_root . mnt
cd /
umount -l /mnt
# No exec: the shell, which is process 1 here, waits for whoever loses its parent.
status=0
"$@" || status=$?
exit "$status"
