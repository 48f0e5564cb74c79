#!/usr/bin/env bash
# Checks CCProxy for ever and tells PagerDuty when its state changes:
#
#   watch-ccproxy.sh [options of check-ccproxy.sh]
#
#   CCPROXY_URL    where it is (http://127.0.0.1:3456)
#   WATCH_SECONDS  how often (60)
#   WATCH_CHECKS   how many checks in a row must agree (2): a restart wakes nobody
#
# and the keys that check-ccproxy.sh and pagerduty-event.sh read. An event that PagerDuty does not take is sent again after the
# next check. Run it where CCProxy does not run: else nobody tells that the host is gone.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
states=(ok warning critical unknown)
# Nothing is told yet, so that the first `ok` resolves what an earlier watch has opened.
told='' seen='' agree=0

while true; do
	code=0
	line=$("$here/check-ccproxy.sh" "$@") || code=$?
	state=${states[$code]:-unknown}
	printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$line"

	if [[ $state == "$seen" ]]; then agree=$((agree + 1)); else seen=$state agree=1; fi
	if [[ $state != "$told" ]] && ((agree >= ${WATCH_CHECKS:-2})); then
		if "$here/pagerduty-event.sh" "$state" "${line%% | *}"; then told=$state; fi
	fi
	sleep "${WATCH_SECONDS:-60}"
done
