#!/bin/bash
# The first process of the container `objectstore`: Swift's processes for one device, behind its S3 interface on port 8080.
# One account; the login comes from the environment. It ends when any of them does.
set -euo pipefail
: "${AWS_ACCESS_KEY_ID:?}" "${AWS_SECRET_ACCESS_KEY:?}" "${AWS_DEFAULT_REGION:?}"
umask 077
settings=/tmp/swift
mkdir -p "$settings" /data/devices/d1 /data/rings

# Names on the disk depend on these: made once and kept with the data.
if [ ! -e /data/swift.conf ]; then
  secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
  printf '[swift-hash]\nswift_hash_path_prefix = %s\nswift_hash_path_suffix = %s\n' "$(secret)" "$(secret)" > /data/swift.conf.new
  mv /data/swift.conf.new /data/swift.conf
fi
cp /data/swift.conf "$settings/swift.conf"

defaults() {  # address port
  printf '[DEFAULT]\nbind_ip = %s\nbind_port = %s\nworkers = 0\nuser = swift\nswift_dir = %s\ndevices = /data/devices\n' "$1" "$2" "$settings"
  printf 'mount_check = false\ndisable_fallocate = true\nlog_udp_host = 127.0.0.1\n'
}

port=6200
for part in object container account; do
  { defaults 127.0.0.1 $port; printf '[pipeline:main]\npipeline = %s-server\n[app:%s-server]\nuse = egg:swift#%s\n[%s-updater]\ninterval = 60\n' $part $part $part $part; } \
    > "$settings/$part.conf"
  ring=/data/rings/$part.ring.gz builder=$settings/$part.builder
  if [ ! -e "$ring" ]; then
    { swift-ring-builder "$builder" create 4 1 0
      swift-ring-builder "$builder" add --region 1 --zone 1 --ip 127.0.0.1 --port $port --device d1 --weight 1
      swift-ring-builder "$builder" rebalance; } > /dev/null
    mv "$settings/$part.ring.gz" "$ring"
  fi
  cp "$ring" "$settings"
  port=$((port + 1))
done

account=${AWS_ACCESS_KEY_ID%%:*} user=${AWS_ACCESS_KEY_ID#*:}
{ defaults 0.0.0.0 8080
  # proxy-logging also gives answers to HEAD their length: without it clients read a stray chunk as the next answer.
  cat <<CONF
[pipeline:main]
pipeline = catch_errors healthcheck proxy-logging cache s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:11211
[filter:s3api]
use = egg:swift#s3api
location = $AWS_DEFAULT_REGION
[filter:tempauth]
use = egg:swift#tempauth
user_${account}_${user} = $AWS_SECRET_ACCESS_KEY .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
CONF
} > "$settings/proxy.conf"
unset AWS_SECRET_ACCESS_KEY

trap 'kill $(jobs -p) 2>/dev/null; wait' TERM INT
memcached -l 127.0.0.1 -p 11211 -U 0 -m 64 &
for part in object container account proxy; do "swift-$part-server" "$settings/$part.conf" & done
# Listings that were not brought up to date at once, under load, are then.
for part in object container; do "swift-$part-updater" "$settings/$part.conf" & done
wait -n
echo "a process of the store ended" >&2
exit 1
