# Installs the packages of the group `servers`, whose services would start at once and at every boot: the tests start
# their own. Read by ../ingot. A service that was here before stays as it is, and so does a policy of the machine's.

policy=/usr/sbin/policy-rc.d    # asked by packages before they start a service; 101: not now
ours=

hold_services() {
    if [ ! -e $policy ]; then
        ours=$policy
        trap '$as_root rm -f $ours' EXIT
        trap 'exit 1' INT TERM
        $as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy"
    fi
    clusters=/etc/postgresql-common    # where its package reads that the system wants no database
    [ -e $clusters ] || $as_root sh -c "mkdir $clusters; echo create_main_cluster = off >$clusters/createcluster.conf"
}

before_install=hold_services
need_packages servers
before_install=
[ -z "$ours" ] || { $as_root rm -f "$ours"; trap - EXIT INT TERM; }
[ ! -d /run/systemd/system ] || for package in ${missing:-}; do
    for service in "${package%-server}" "$package"; do
        ! systemctl is-enabled -q "$service" 2>/dev/null || $as_root systemctl disable -q "$service" || true
    done
done
