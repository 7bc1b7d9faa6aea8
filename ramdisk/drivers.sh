#!/bin/sh
# Loads drivers. "first": what the devices that show themselves ask for. "rest": what the first call to the API can do
# without; the agent starts it once it has called.
export PATH=/usr/bin:/usr/sbin

# A driver uncovers further devices (a bus, its disks): three passes reach disks behind controllers behind bridges.
# All with a modalias are on a bus, but for the processors; a walk through /sys/devices takes ten times as long.
coldplug() {
	known=
	for pass in 1 2 3; do
		found=$(cat /sys/bus/*/devices/*/modalias /sys/devices/system/cpu/modalias 2>/dev/null | sort -u)
		[ "$found" = "$known" ] && break
		known=$found
		modprobe -qab $found "$@" 2>/dev/null
	done
}

case "$1" in
first)
	[ -d /sys/firmware/efi ] && efi=efivarfs
	coldplug sd_mod $efi
	;;
rest)
	modprobe -qa ipmi_si ipmi_devintf usb_storage uas 2>/dev/null
	coldplug
	;;
esac
exit 0
