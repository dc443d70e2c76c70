#!/usr/bin/env bash
# Install the system packages that tests use, where apt may: as root or with a password-free sudo.
# Where it may not, say what is missing and which tests are skipped for it. Never fails the tests,
# and says nothing when nothing is missing.
set -u

# What shows that the package is there (a program, or a LaTeX style) : package : tests without it.
wanted='
tmux:tmux:a run lives on in tmux
git:git:the snapshot of a git checkout
latexmk:latexmk:report.pdf with latexmk
pdflatex:texlive-latex-base:report.pdf
booktabs.sty:texlive-latex-recommended:report.pdf
lmodern.sty:lmodern:report.pdf
pdftotext:poppler-utils:what report.pdf says
dbus-daemon:dbus-daemon:desktop notifications
dunst:dunst:desktop notifications on a real notification server
notify-send:libnotify-bin:desktop notifications on a real notification server
Xvfb:xvfb:desktop notifications on a real notification server
ssh:openssh-client:hosts reached over SSH
sshd:openssh-server:hosts reached over SSH
ip:iproute2:hosts with addresses of their own, and faults
nft:nftables:links that drop packets
'

present() {
    case $1 in
        *.sty) kpsewhich "$1" >/dev/null 2>&1 ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing() {
    local sign package tests
    while IFS=: read -r sign package tests; do
        [ -z "$sign" ] || present "$sign" || printf '%s:%s\n' "$package" "$tests"
    done <<<"$wanted"
}

# apt-get, bounded, silent, and never with a question.
apt() {
    "${as_root[@]}" timeout 600 env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 "$@" </dev/null >/dev/null 2>&1
}

install() {
    local packages=("$@")
    # Older Debian and Ubuntu ship the daemon in package dbus.
    if ! apt-cache show dbus-daemon >/dev/null 2>&1; then
        packages=("${packages[@]/#dbus-daemon/dbus}")
    fi
    apt install --no-install-recommends "${packages[@]}"
}

# dbus-daemon and the like may lie where only root's PATH looks.
PATH=$PATH:/usr/sbin:/sbin
lacking=$(missing)
[ -n "$lacking" ] || exit 0

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
if command -v apt-get >/dev/null 2>&1 && "${as_root[@]}" true 2>/dev/null; then
    mapfile -t names < <(cut -d: -f1 <<<"$lacking")
    echo "Installing for the tests, with apt: ${names[*]}"
    # The package lists are fetched only if they are empty or too old for what is asked.
    install "${names[@]}" || { apt update && install "${names[@]}"; } \
        || for name in "${names[@]}"; do install "$name"; done  # one that fails keeps none back
    lacking=$(missing)
fi

while IFS=: read -r package tests; do
    [ -z "$package" ] || echo "Missing package $package: skipped are tests of: $tests"
done <<<"$lacking"
exit 0
