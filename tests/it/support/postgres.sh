# Keeps a PostgreSQL server for one test process: prints "ready FOLDER" (of its socket), or why there is none,
# and serves until standard input is closed. However it ends, nothing is left of it. Each line "crash" kills the server
# and starts it again, which prints "ready" once more; with $1 = durable a commit outlives that.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(dirname "$(readlink -f "$(command -v postgres)")" 2>/dev/null)
[ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] || { echo "no PostgreSQL server is installed (apt-get install postgresql)"; exit 0; }

folder=$(mktemp -d) || { echo "no folder for PostgreSQL could be made"; exit 0; }
server=
end() {
    [ -z "$server" ] || { kill -QUIT "$server"; wait "$server"; } 2>/dev/null
    cd / && rm -rf "$folder"
}
trap end EXIT
trap 'exit 0' HUP INT TERM

# PostgreSQL refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
    user=postgres
    id "$user" >/dev/null 2>&1 || user=nobody
    chown "$user" "$folder"
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
fi
cd "$folder" || exit 1
if ! $as "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1; then
    echo "initdb failed: $(tail -n 1 initdb.log)"
    exit 0
fi
# Only speed matters for data that no crash has to survive; benches bring settings of their own.
# A server that is killed may leave a page half written: only whole pages in its log put that right.
commit=off
[ "$1" = durable ] && commit=on
start() {
    $as "$bin/postgres" -D data -k "$folder" -c listen_addresses= -c fsync=off -c full_page_writes=$commit \
        -c synchronous_commit=$commit -c max_connections=500 -c shared_buffers=64MB -c autovacuum=off $POSTGRES_SETTINGS \
        >>server.log 2>&1 </dev/null &
    server=$!
    tries=0
    until "$bin/pg_isready" -q -h "$folder" -U postgres; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
            echo "PostgreSQL did not start: $(tail -n 1 server.log)"
            exit 0
        fi
        sleep 0.1
    done
    echo "ready $folder"
}
start
while read -r order; do
    # QUIT: every connection is cut, nothing is written down, and the log is replayed at the next start.
    [ "$order" = crash ] && { kill -QUIT "$server"; wait "$server"; start; } 2>/dev/null
done
