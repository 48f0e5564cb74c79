#!/usr/bin/env bash
# Checks CCProxy as Nagios, Icinga, Sensu and cron expect it: one line, and an exit code.
#   0 OK, 1 WARNING (degraded, slow, too many failures), 2 CRITICAL (unhealthy, or not there), 3 UNKNOWN
#
# Needs curl and jq. The key, where one is needed, is in a file or in CCPROXY_KEY: the arguments of a process can be
# seen by everybody on its host. A key with the scope `monitor` is enough. Without one, and not on CCProxy's own host,
# only the status is checked.
set -euo pipefail

usage() {
	cat <<-'END'
		check-ccproxy.sh [options]
		  -u URL      where CCProxy is (CCPROXY_URL, else http://127.0.0.1:3456)
		  -k FILE     a file whose first line is the key
		  -w MS       warning when the 95th percentile is above (1000)
		  -c MS       critical when it is above (never)
		  -e PERCENT  warning when more calls fail (10)
		  -E PERCENT  critical when more fail (never)
		  -n CALLS    look at failures only where there were so many calls (20)
		  -s FILE     remember the counts here, and judge the calls since the last check; else those since the start
		  -t SECONDS  how long to wait for an answer (10)
	END
}

end() { # CODE TEXT
	local names=(OK WARNING CRITICAL UNKNOWN)
	printf 'CCPROXY %s - %s\n' "${names[$1]}" "$2"
	exit "$1"
}

url=${CCPROXY_URL:-http://127.0.0.1:3456} key_file='' state='' seconds=10
p95_warning=1000 p95_critical=null failed_warning=10 failed_critical=null calls=20

while getopts u:k:w:c:e:E:n:s:t:h option; do
	case $option in
	u) url=${OPTARG%/} ;;
	k) key_file=$OPTARG ;;
	w) p95_warning=$OPTARG ;;
	c) p95_critical=$OPTARG ;;
	e) failed_warning=$OPTARG ;;
	E) failed_critical=$OPTARG ;;
	n) calls=$OPTARG ;;
	s) state=$OPTARG ;;
	t) seconds=$OPTARG ;;
	h) usage && exit 0 ;;
	*) usage >&2 && exit 3 ;;
	esac
done

key=${CCPROXY_KEY:-}
if [[ -n $key_file ]]; then
	IFS= read -r key <"$key_file" || [[ -n $key ]] || end 3 "no key can be read from $key_file"
fi

headers=''
[[ -z $key ]] || headers="x-api-key: $key"
# The body counts, whatever the HTTP code: 503 comes with the reason. `-H @-` takes the key from the pipe.
body=$(printf '%s\n' "$headers" | curl --silent --show-error --max-time "$seconds" -H @- "$url/health" 2>&1) ||
	end 2 "$url does not answer: ${body//$'\n'/ }"

before='0 0'
[[ -z $state || ! -s $state ]] || IFS= read -r before <"$state"

# Three lines: the exit code, the text, the counts to remember.
judged=$(jq --raw-output --arg before "$before" --arg key "${key:+given}" \
	--argjson p95_warning "$p95_warning" --argjson p95_critical "$p95_critical" \
	--argjson failed_warning "$failed_warning" --argjson failed_critical "$failed_critical" \
	--argjson calls "$calls" '
	def above($value; $limit): $limit != null and $value > $limit;
	def grade($value; $warning; $critical):
		if above($value; $critical) then 2 elif above($value; $warning) then 1 else 0 end;

	({healthy: 0, degraded: 1, unhealthy: 2}[.status] // 3) as $status
	| .performance as $performance
	| if $performance == null then
		[ if $status == 0 and $key != "" then 3 else $status end,
		  "\(.status)\(if $key != "" then ", and it does not take the key" else "" end)",
		  $before ]
	  else
		($performance.requests | [.total, .failed]) as $now
		| ($before | split(" ") | map(tonumber)) as $last
		| (if $last[0] > $now[0] then [0, 0] else $last end) as $last  # it was started again
		| ($now[0] - $last[0]) as $total
		| ($now[1] - $last[1]) as $failed
		| (if $total > 0 and $total >= $calls then $failed / $total * 100 else 0 end) as $percent
		| $performance.latency.p95_ms as $p95
		| [ ([$status, grade($p95; $p95_warning; $p95_critical), grade($percent; $failed_warning; $failed_critical)] | max),
		    "\(.status), \($failed) of \($total) calls failed, p95 \($p95) ms"
		    + ([.upstreams.providers[] | select(.condition | IN("failing", "credential_refused")) | "; \(.name): \(.condition)"] | add // "")
		    + " | p95=\($p95)ms;\($p95_warning);\($p95_critical // "") failed=\($percent * 100 | round / 100)%;\($failed_warning);\($failed_critical // "") calls=\($now[0])c",
		    "\($now[0]) \($now[1])" ]
	  end
	| .[]' <<<"$body" 2>/dev/null) || end 3 "$url/health is not CCProxy's, or a limit is no number"

{
	IFS= read -r code
	IFS= read -r text
	IFS= read -r counts
} <<<"$judged"
[[ -z $state ]] || printf '%s\n' "$counts" >"$state"
end "$code" "$text"
