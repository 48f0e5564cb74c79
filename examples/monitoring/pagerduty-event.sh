#!/usr/bin/env bash
# Tells PagerDuty how CCProxy is, by the Events API v2:
#
#   pagerduty-event.sh STATE TEXT      STATE is ok, warning, critical or unknown
#
# `ok` resolves the incident, everything else triggers it. All events about one CCProxy have one dedup_key, so that a
# repeated one opens no second incident. Needs curl and jq.
#
#   PAGERDUTY_ROUTING_KEY_FILE  a file whose first line is the integration's key; or PAGERDUTY_ROUTING_KEY
#   PAGERDUTY_URL               https://events.pagerduty.com/v2/enqueue, or the one for the EU
#   CCPROXY_URL                 which CCProxy this is about (http://127.0.0.1:3456)
set -euo pipefail

state=${1:?usage: pagerduty-event.sh STATE TEXT}
text=${2:?usage: pagerduty-event.sh STATE TEXT}
url=${PAGERDUTY_URL:-https://events.pagerduty.com/v2/enqueue}

if [[ -n ${PAGERDUTY_ROUTING_KEY_FILE:-} ]]; then
	IFS= read -r PAGERDUTY_ROUTING_KEY <"$PAGERDUTY_ROUTING_KEY_FILE" || [[ -n $PAGERDUTY_ROUTING_KEY ]]
fi
: "${PAGERDUTY_ROUTING_KEY:?set PAGERDUTY_ROUTING_KEY_FILE}"
export PAGERDUTY_ROUTING_KEY

case $state in
ok) action=resolve severity=info ;;
warning) action=trigger severity=warning ;;
critical) action=trigger severity=critical ;;
unknown) action=trigger severity=error ;;
*) echo "pagerduty-event.sh: no such state: $state" >&2 && exit 2 ;;
esac

# The key goes through the environment and a pipe, never through an argument or into an output.
code=$(
	jq --null-input --arg action "$action" --arg severity "$severity" --arg text "$text" \
		--arg about "${CCPROXY_URL:-http://127.0.0.1:3456}" --arg host "${HOSTNAME:-unknown}" '
		{
			routing_key: env.PAGERDUTY_ROUTING_KEY,
			event_action: $action,
			dedup_key: "ccproxy \($about)",
			payload: {summary: $text[:1024], source: $about, severity: $severity, component: "ccproxy",
				custom_details: {checked_from: $host}}
		}' |
		curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --retry 3 \
			--header 'content-type: application/json' --data-binary @- "$url"
) || true

if [[ $code != 202 ]]; then
	echo "pagerduty-event.sh: PagerDuty did not take it (HTTP ${code:-000})" >&2
	exit 1
fi
