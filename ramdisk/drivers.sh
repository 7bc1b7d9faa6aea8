#!/bin/sh
# Loads drivers. "cards": those of network cards on PCI, virtio and Hyper-V, and of USB's controllers, for nothing says
# when a bus of theirs has shown its disks: they have until "disks". "all": what the devices that show themselves ask for.
# "disks" and "bmc": what the first call to the API can do without, if "cards" found the card; the agent starts them once
# it has called, one after the other.
export PATH=/usr/bin:/usr/sbin
CARDS='^pci:.*bc02sc\|^pci:.*bc0Csc03\|^virtio:d00000001\|VMB[Uu][Ss]\|^vmbus:f8615163'

# A driver uncovers further devices (a bus, its disks): three passes reach disks behind controllers behind bridges.
# All with a modalias are on a bus, but for the processors; a walk through /sys/devices takes ten times as long.
coldplug() {
	only=$1
	shift
	known=
	for pass in 1 2 3; do
		found=$(cat /sys/bus/*/devices/*/modalias /sys/devices/system/cpu/modalias 2>/dev/null | grep "$only" | sort -u)
		[ "$found" = "$known" ] && break
		known=$found
		modprobe -qab $found "$@" 2>/dev/null
	done
}

# Disks behind USB show themselves a second or more after their driver; one without an answer is waited for 8 s.
usb_disks_are_there() {
	for interface in /sys/bus/usb/drivers/usb-storage/*:* /sys/bus/usb/drivers/uas/*:*; do
		[ -e "$interface" ] || continue
		set -- "$interface"/host*/target*/*:*:*:*
		[ -e "$1" ] || return 1
		for unit; do
			[ "$(cat "$unit/type")" != 0 ] || [ -e "$unit/block" ] || return 1
		done
	done
}

case "$1" in
cards)
	coldplug "$CARDS"
	;;
all)
	coldplug . sd_mod
	;;
disks)
	modprobe -qa usb_storage uas 2>/dev/null
	coldplug . sd_mod
	left=40
	until usb_disks_are_there || [ $left = 0 ]; do
		sleep 0.2
		left=$((left - 1))
	done
	;;
bmc)
	modprobe -qa ipmi_si ipmi_devintf 2>/dev/null
	;;
esac
exit 0
