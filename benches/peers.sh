#!/bin/bash
# Puts the outbox beside its peers on one machine, in turns, and prints medians and ratios:
#   smtp-source into smtp-sink   what Postfix's own load generator, in C, sends of one ready text: the limit of the wire
#   Postfix, relaying            what the usual durable queue delivers: each mail on the disk before it is taken
#   ours, delivering             from the claim to the settled row, each mail composed, intent and result on the disk
#   ours, ready texts            the transport alone, on one connection
#   SQLite, inserting            bare rows of 200 bytes with one index, a thousand in a transaction: the limit of the disk
#   ours, planning               messages planned: who is due, enrolments, their lines in the ledger, and the messages
#   openssl and ours, signing    RSA of 2048 bits, on one core
#
#   benches/peers.sh [ROUNDS=5] [MAILS=10000] [sqlite|postgres] [4|20 kB]
#
# Wants Debian's postfix (root, to run a relay of its own on 127.0.0.1, with a queue in $TMPDIR), openssl and python3, and
# for postgres a server's binaries; nothing outside the repository else. What is not there is left out, said aloud. All of it
# shares the cores, the receiving smtp-sink included. Figures of a machine that does other work are worth little: compare
# the ratios, and look at the processor time beside them (docs/delivery.md has a table).
set -eu
rounds=${1:-5} mails=${2:-10000} backend=${3:-sqlite} kb=${4:-4}
cd "$(dirname "$0")/.."
work=$(mktemp -d) ours=${OUTBOX_BENCH:-}
export PATH=$PATH:/usr/sbin
sink_port=$((20000 + RANDOM % 5000)) relay_port=$((25000 + RANDOM % 5000))
sink='' relay=''
end() {
    [ -z "$relay" ] || postfix -c "$work/conf" stop >/dev/null 2>&1 || true
    [ -z "$sink" ] || kill "$sink" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT

if [ -z "$ours" ]; then
    cargo build --release --bench outbox --locked >&2
    # The newest one: cargo names it by a hash.
    ours=$(ls -t "${CARGO_TARGET_DIR:-target}"/release/deps/outbox-* | grep -v '\.d$' | head -n 1)
fi

have() { command -v "$1" >/dev/null; }
as=()
[ "$(id -u)" != 0 ] || as=(-u nobody)
if have smtp-sink && have smtp-source; then
    (cd / && exec smtp-sink "${as[@]}" "127.0.0.1:$sink_port" 1024) & sink=$!
    sleep 0.5
else
    echo "left out: smtp-source and the relay (apt-get install postfix)" >&2
fi

# A Postfix of our own: nothing of the machine's is touched. Deliveries go to the sink, by as many connections as ours.
start_relay() {
    mkdir -p "$work/conf" "$work/queue" "$work/data"
    chown postfix "$work/data"
    chmod 755 "$work" "$work/conf" "$work/queue"
    cat >"$work/conf/main.cf" <<C
compatibility_level = 3.6
queue_directory = $work/queue
data_directory = $work/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.example
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:$sink_port
disable_dns_lookups = yes
smtp_dns_support_level = disabled
local_transport = error:none
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
default_destination_concurrency_limit = 32
initial_destination_concurrency = 32
C
    # Its smtpd on our port, nothing chrooted.
    sed -e "s/^smtp      inet.*/127.0.0.1:$relay_port inet n - n - - smtpd/" \
        -e 's/^\([a-z#]\S*\s\+unix\s\+\S\s\+\S\s\+\)y/\1n/' \
        /usr/share/postfix/master.cf.dist >"$work/conf/master.cf"
    postfix -c "$work/conf" start >"$work/start.log" 2>&1 && relay=yes && sleep 2
}
if [ -n "$sink" ] && [ "$(id -u)" = 0 ] && [ -f /usr/share/postfix/master.cf.dist ]; then
    start_relay || echo "left out: the relay ($(tail -n 1 "$work/start.log"))" >&2
else
    echo "left out: the relay (it needs root and Debian's postfix)" >&2
fi

# Seconds, of this shell's clock.
clock() { date +%s.%N; }
per_second() { awk -v n="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%.0f\n", n / (b - a) }'; }
queued() { find "$work/queue/incoming" "$work/queue/active" "$work/queue/deferred" "$work/queue/maildrop" -type f | wc -l; }

wire() { # connections, mails
    local a b
    a=$(clock)
    smtp-source -d -s "$1" -m "$2" -l $((kb * 1024)) -f shop@shop.example -t c@customers.example "127.0.0.1:$sink_port" >/dev/null 2>&1
    b=$(clock)
    per_second "$2" "$a" "$b"
}
through_relay() { # mails
    local a b
    a=$(clock)
    smtp-source -s 32 -m "$1" -l $((kb * 1024)) -f shop@shop.example -t c@customers.example "127.0.0.1:$relay_port" >/dev/null 2>&1
    while [ "$(queued)" -gt 0 ]; do sleep 0.05; done
    b=$(clock)
    per_second "$1" "$a" "$b"
}
our() { "$ours" --bench --backend "$backend" --kb "$kb" "$@" | sed -n 's/.*"mails_s":\([0-9]*\).*"cpu_us":\([0-9]*\).*/\1 \2/p'; }

# Its own work is in C, so that it is as fast as a bare program.
rows() { # rows
    rm -f "$work"/rows.db*
    python3 - "$work/rows.db" "$1" <<'P'
import random, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA cache_size=-65536",
             "CREATE TABLE events(id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, key BLOB NOT NULL, body TEXT NOT NULL)",
             "CREATE INDEX ev ON events(customer_id, at)"):
    db.execute(line)
n = int(sys.argv[2])
rows = [(random.randrange(1000000), i, "order_placed", b"12345678", "b" * 160) for i in range(n)]
begun = time.perf_counter()
for at in range(0, n, 1000):
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO events(customer_id, at, kind, key, body) VALUES (?, ?, ?, ?, ?)", rows[at:at + 1000])
    db.execute("COMMIT")
print(round(n / (time.perf_counter() - begun)))
P
}

key=tests/data/dkim/rsa_pkcs8.pem
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    if [ -n "$sink" ]; then
        wire 1 "$mails" >>"$work/wire1"
        wire 16 "$mails" >>"$work/wire16"
    fi
    # A fifth of them: it is slower than the rest by far.
    [ -z "$relay" ] || through_relay $((mails / 5)) >>"$work/relay"
    our --what deliver --mails "$mails" >>"$work/deliver"
    our --what deliver --mails "$mails" --dkim "$key" >>"$work/deliver_signed"
    our --what ready --mails "$mails" --at-once 1 >>"$work/ready1"
    ! have python3 || rows 100000 >>"$work/rows"
    our --what enqueue --mails "$((mails * 2))" >>"$work/enqueue"
    our --what sign --mails 2000 --dkim "$key" >>"$work/sign"
    ! have openssl || openssl speed -seconds 1 rsa2048 2>/dev/null | awk '/^rsa 2048/ { print $6 }' >>"$work/openssl"
done

median() { [ -s "$work/$1" ] && awk '{ print $1 }' "$work/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { awk '{ print $1 }' "$work/$1" | sort -n | awk 'NR == 1 { a = $1 } END { printf "%.0f-%.0f", a, $1 }'; }
cpu() { [ -s "$work/$1" ] && awk 'NF > 1 { print $2 }' "$work/$1" | sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%s us", v[int((NR + 1) / 2)] }'; }
row() { # what, file, peer's file, peer
    [ -s "$work/$2" ] || return 0
    local ratio=''
    [ -z "${3:-}" ] || [ ! -s "$work/$3" ] || ratio=$(awk -v a="$(median "$2")" -v b="$(median "$3")" -v p="$4" 'BEGIN { printf "%.2f x %s", a / b, p }')
    printf '%-42s %8.0f/s  %-15s %-9s %s\n' "$1" "$(median "$2")" "($(spread "$2"))" "$(cpu "$2")" "$ratio"
}
echo "medians of $rounds (smallest-largest), processor time of ours for each, $kb kB, $backend"
row "smtp-source, 16 connections" wire16
row "smtp-source, 1 connection" wire1
row "Postfix, relaying" relay
row "ours, delivering" deliver wire16 "smtp-source"
row "" deliver relay "Postfix"
row "ours, delivering, DKIM-signed" deliver_signed
row "ours, ready texts, 1 connection" ready1 wire1 "smtp-source"
row "SQLite, inserting" rows
row "ours, planning" enqueue rows "SQLite"
row "openssl, signing (of a core)" openssl
# Of a core too: by processor time, as openssl counts.
if [ -s "$work/sign" ]; then
    awk '{ print 1000000 / $2 }' "$work/sign" >"$work/sign_cpu"
    row "ours, signing (of a core)" sign_cpu openssl "openssl"
fi
