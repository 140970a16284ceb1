#!/bin/sh
# Startup script of a machine behind an upstream, for Debian 12 or newer, or Ubuntu 22.04 or newer. Put it into the
# instance template (docs/compute-engine.md). It runs as root at each boot, and may be run again: what is right already is
# left alone, tunnels included.
set -eu

port=8888
# Files are written below it: empty on a machine, a folder in a test.
root=${LANEKEEPER_ROOT:-}
config=$root/etc/tinyproxy/tinyproxy.conf
unit=$root/etc/systemd/system/tinyproxy.service.d/lanekeeper.conf
guard=$root/usr/local/sbin/lanekeeper-guard
changed=no

install_packages() {
  if command -v tinyproxy >/dev/null && command -v iptables >/dev/null; then return; fi
  export DEBIAN_FRONTEND=noninteractive
  # At boot the network, or another apt-get, may take its time.
  for attempt in 1 2 3 4 5; do
    if apt-get -q update && apt-get -q install -y -o DPkg::Lock::Timeout=120 tinyproxy iptables; then return; fi
    echo "lanekeeper: packages could not be installed (attempt $attempt)" >&2
    sleep 10
  done
  exit 1
}

# write FILE MODE: what comes on stdin, if it is not there yet.
write() {
  mkdir -p "$(dirname "$1")"
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then
    rm "$1.new"
    return
  fi
  chmod "$2" "$1.new"
  mv "$1.new" "$1"
  changed=yes
}

install_packages

# More clients than the gateways ever open (upstreams.maxTunnels), since at MaxClients it accepts none and says nothing.
# What it may reach is decided by the gateways; these ports are a second lock. Nothing of targets is logged but errors.
write "$config" 644 <<EOF
User tinyproxy
Group tinyproxy
Port $port
MaxClients 1000
Timeout 600
Allow 10.0.0.0/8
Allow 172.16.0.0/12
Allow 192.168.0.0/16
ConnectPort 443
ConnectPort 80
DisableViaHeader Yes
Syslog On
LogLevel Error
EOF

# The metadata server gives the machine's identity to whoever asks; jobs must not. Names are resolved there, too (port 53).
write "$guard" 755 <<'EOF'
#!/bin/sh
set -eu
deny() {
  "$1" -w -C OUTPUT -d "$2" -p tcp ! --dport 53 -m owner --uid-owner tinyproxy -j REJECT 2>/dev/null ||
    "$1" -w -I OUTPUT -d "$2" -p tcp ! --dport 53 -m owner --uid-owner tinyproxy -j REJECT
}
deny iptables 169.254.169.254
if [ -e /proc/net/if_inet6 ]; then deny ip6tables fd20:ce::254; fi
EOF

# Each client is a thread and two files. Without the guard it does not start.
write "$unit" 644 <<EOF
[Service]
ExecStartPre=+$guard
LimitNOFILE=65536
TasksMax=4096
Restart=always
RestartSec=1
EOF

systemctl daemon-reload
systemctl enable tinyproxy
if [ "$changed" = yes ]; then systemctl restart tinyproxy; else systemctl start tinyproxy; fi
"$guard"
