#!/bin/sh
# Called by udhcpc with what the DHCP server gave.
export PATH=/usr/bin:/usr/sbin
case "$1" in
deconfig)
	ip link set "$interface" up
	;;
bound | renew)
	ip addr replace "$ip/$mask" dev "$interface"
	# Another network's address (before a rescued machine went to its tenant's) must not stay.
	ip -4 -o addr show dev "$interface" | awk '{ print $4 }' | while read -r old; do
		[ "${old%/*}" = "$ip" ] || ip addr del "$old" dev "$interface"
	done
	for router in $router; do
		ip route replace default via "$router" dev "$interface" 2>/dev/null && break
	done
	for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
	[ -n "$hostname" ] && hostname "$hostname"
	[ "$1" = bound ] && echo "ingot: $interface has $ip/$mask at $(cut -d' ' -f1 /proc/uptime) s" >/dev/console
	;;
esac
exit 0
