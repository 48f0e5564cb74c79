#!/bin/sh
# Makes the keys of compose.yaml in secrets/, each where there is none: api_key for callers, monitor_key for
# Prometheus, grafana_password for Grafana's `admin`. The folder is closed to other users; the files are not, since the
# containers' users must read them.
set -eu
cd "$(dirname "$0")/../.."

[ -d secrets ] || mkdir -m 700 secrets
for name in api_key monitor_key grafana_password; do
	[ -e "secrets/$name" ] && continue
	(umask 022 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"secrets/$name")
	echo "made secrets/$name"
done
