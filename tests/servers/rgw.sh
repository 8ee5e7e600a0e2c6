#!/bin/bash
# rgw.sh up FOLDER PORT MONITOR_PORT MONITOR_PORT | rgw.sh down FOLDER
# Ceph's S3 gateway with one monitor and one store in memory, all on the loopback.
set -eu
folder=$2
ceph=(-c "$folder/ceph.conf")

if [ "$1" = down ]; then
	for name in client.rgw.a osd.0 mon.a; do
		[ ! -e "$folder/run/$name.pid" ] || kill "$(cat "$folder/run/$name.pid")" 2>/dev/null || true
	done
	exit
fi

port=$3
monitor="[v2:127.0.0.1:$4,v1:127.0.0.1:$5]"
rm -rf "$folder"
mkdir -p "$folder/mon" "$folder/osd" "$folder/run"
touch "$folder/keyring"
fsid=$(cat /proc/sys/kernel/random/uuid)
# Without ms_mon_client_mode the gateway hangs where authentication is off; without a short
# paxos_propose_interval everything takes ten seconds longer.
cat > "$folder/ceph.conf" <<CONF
[global]
fsid = $fsid
mon_host = $monitor
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
keyring = $folder/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
paxos_propose_interval = 0.05
osd_objectstore = memstore
memstore_device_bytes = 4294967296
mon_data = $folder/mon
osd_data = $folder/osd
run_dir = $folder/run
pid_file = $folder/run/\$name.pid
admin_socket = $folder/run/\$name.asok
log_file = $folder/run/\$name.log
crash_dir = $folder/run
[client.rgw.a]
keyring = $folder/keyring
ms_mon_client_mode = crc
rgw_frontends = beast endpoint=127.0.0.1:$port
rgw_data = $folder/run
rgw_dns_name = localhost
CONF
monmaptool --create --fsid "$fsid" --addv a "$monitor" \
	"$folder/monmap" >/dev/null
ceph-mon "${ceph[@]}" --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
ceph-mon "${ceph[@]}" -i a
uuid=$(cat /proc/sys/kernel/random/uuid)
ceph "${ceph[@]}" --connect-timeout 20 osd new "$uuid" >/dev/null
ceph-osd "${ceph[@]}" -i 0 --mkfs --osd-uuid "$uuid"
ceph-osd "${ceph[@]}" -i 0
radosgw-admin "${ceph[@]}" user create --uid=test --display-name=test \
	--access-key=testkey --secret-key=testsecret >/dev/null
radosgw "${ceph[@]}" -n client.rgw.a
until curl -s -o /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
