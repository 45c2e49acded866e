#!/usr/bin/env bash
# Unpacks Debian's Chromium with all that it needs and this machine has not, without installing it. Needs root's apt.
set -euo pipefail
to="${UNPACKED_PROGRAMS:-/tmp/exalign-ci/debian}"
apt-get update -qq
mkdir -p "$to/chromium-debs" && cd "$to/chromium-debs"
apt-get install --simulate --no-install-recommends chromium | awk '/^Inst/ {print $2}' | xargs apt-get download -qq
for package in *.deb; do dpkg -x "$package" ..; done
