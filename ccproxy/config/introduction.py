"""What the reference page says in its own words, before and after the tables made from `types`."""

INTRODUCTION = """\
# Configuration

CCProxy runs without one: on your own machine, a demo answers until a provider is there. A key in the
environment (`ANTHROPIC_API_KEY=...`) is enough for the first real model; everything else is in one JSON
file.

This page and [config.schema.json](config.schema.json), which tells editors the same, are made from the
program's own types by `python -m ccproxy.config.reference`.

## An example

```json
{
  "host": "0.0.0.0",
  "apikey": "${CCPROXY_CALLERS_KEY}",
  "providers": [
    {"name": "anthropic", "api_key": "${ANTHROPIC_API_KEY}"},
    {"name": "openai", "api_key": "${OPENAI_API_KEY}"},
    {"name": "local", "type": "openai", "api_base_url": "http://127.0.0.1:11434/v1", "models": ["llama3"]}
  ],
  "routes": {
    "default": {"provider": "anthropic", "fallbacks": [{"provider": "openai"}]},
    "background": {"provider": "local", "model": "llama3", "parameters": {"temperature": 0.3}},
    "claude-haiku-4-5": {"provider": "openai", "model": "gpt-4o-mini", "parameters": {"max_tokens": 4096}}
  },
  "shutdown_timeout": "30s",
  "performance": {"request_timeout": "15m", "max_request_body_size": "64MiB"}
}
```

## Where it is

The first of these that is given: `--config FILE`, `CCPROXY_CONFIG`, `~/.ccproxy/config.json`. Only the last
may be absent. Nothing is read from the working directory, and no `.env` file: a project you have checked
out must not redirect your prompts.

## What goes over what

1. The command line.
2. `CCPROXY_*` variables; the tables below name them. Lists are written with commas, an empty variable says
   nothing, and `${...}` means nothing in them.
3. The file.
4. The defaults. Where nothing is configured, `host` is this host's own and CCProxy is not in Kubernetes,
   the demo is on; `"demo": false` prevents it.

`CCPROXY_API_KEY` and `CCPROXY_API_KEY_FILE` replace both `apikey` and `apikey_file` of the file. A
provider's key is another matter: there `api_key` and `api_key_file` in the file go before the provider's
own variable.

Unknown keys, and keys that are there twice, are refused. All problems are told at once, each with its place
(`$.providers[1].api_base_url: ...`), and no value of a secret among them.

## Variables in the file

In any text, `${NAME}` is replaced by the environment variable `NAME`, and `${NAME:-text}` by `text` where
it is unset or empty. A `NAME` that is not set and has no default is an error. `$${` stands for `${` itself.
Keys are never replaced, nor is what a variable holds looked at again.

The proxies of the environment are not used by themselves, since the proxy sees where every request goes. To
use them, say so: `"proxy_url": "${HTTPS_PROXY:-}", "no_proxy": ["${NO_PROXY:-}"]`. An empty `proxy_url` is
none, and an entry of `no_proxy` or `allowed_ips` may hold several with commas between them.

## Secrets

Every key can be in a file of its own: `apikey_file`, `key_file`, `api_key_file`, `CCPROXY_API_KEY_FILE`,
and for providers their variable with `_FILE` behind it (`OPENAI_API_KEY_FILE`). Its first line is the key.
A file that every user of the host may read is refused (`chmod 600` mends it), except under `/run/secrets`
and `/var/run/secrets`, where Docker and Kubernetes put them.

## While it runs

A changed file counts within seconds, and so does a changed file that it names; running calls end as they
began. With a mistake in it nothing changes. [reload.md](reload.md) has the rest, and what needs a restart.

## Durations, sizes, paths

A duration is `500ms`, `30s`, `5m`, `2h`, `1h30m`, or a number of seconds. A size is `512KiB`, `32MiB`,
`1GiB`, `10MB`, or a number of bytes. A path is absolute or begins with `~/`."""

PROVIDERS = """\
## Types of providers

A provider without `api_key` and `api_key_file` gets the key of its type's variable, if its address is at the
type's own host, by any path: a key never goes to another host than that of who issued it. A variable alone,
without an entry in `providers`, enables its type's provider.

| type | address | variable | model for Claude names |
|---|---|---|---|"""
