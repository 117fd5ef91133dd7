#!/usr/bin/env bash
# Builds what the benchmarks need into bench/.build: the load generator, a certificate, and, unless told `ours`, the peers.
# A peer that cannot be had here is left out, with a word about it.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p .build
log=.build/prepare.log
: >"$log"

install() { # install COMMAND_OR_FILE PACKAGE...: by apt-get, unless it is there
  { command -v "$1" || [ -e "$1" ]; } >/dev/null && return
  command -v apt-get >/dev/null || return 0
  shift
  [ -e .build/updated ] || apt-get update -qq >>"$log" 2>&1 || true
  touch .build/updated
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1 || true
}

newer() { # newer MADE FROM...: MADE is there and newer than all of them
  local made=$1 from
  shift
  [ -e "$made" ] || return 1
  for from; do [ "$made" -nt "$from" ] || return 1; done
}

peer() { # peer NAME COMMAND...: make it, or say that it is left out
  local name=$1
  shift
  if "$@" >>"$log" 2>&1; then return; fi
  rm -rf ".build/$name"
  echo "bench: $name is left out: it cannot be built here (see bench/$log)" >&2
}

install gcc gcc libc6-dev
install taskset util-linux
install /usr/include/openssl/ssl.h libssl-dev
if ! newer .build/load load/*.c load/*.h; then
  gcc -O2 -Wall -Wextra -std=gnu17 -o .build/load load/*.c -lssl -lcrypto
fi
[ -e .build/server.crt ] || ../tools/gen_cert.sh --quiet --out .build
[ "${1:-}" != ours ] || exit 0

python_peers() {
  newer .build/python/done requirements.txt && return
  python3 -m venv .build/python
  .build/python/bin/pip install -q --disable-pip-version-check -r requirements.txt 'h11>=0.16,<1' 'wsproto>=1.2,<2'
  touch .build/python/done
}

node_peer() {
  [ -e .build/node/node_modules/ws ] && return
  mkdir -p .build/node
  npm install --silent --no-fund --no-audit --prefix .build/node ws@8
}

go_peer() {
  newer .build/go peers/go_peer.go && return
  GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=-buildvcs=false go build -o .build/go peers/go_peer.go
}

install npm nodejs npm
install go golang-go
install /usr/share/gocode/src/github.com/gorilla/websocket golang-github-gorilla-websocket-dev
peer python python_peers
peer node node_peer
peer go go_peer
