#!/usr/bin/env python3
"""Replaces two replicas of an older Homing by a newer one, one after the other, under load, and looks for what was lost or doubled.

    tests/rolling.py OLD_BINARY [NEW_BINARY]          (NEW_BINARY: target/debug/homing)

Needs an installed PostgreSQL server, Python 3, and a binary of an earlier version: keep one of each release. The newer
one brings the schema up to date while the older ones still serve from it; both then serve side by side.
"""

import itertools, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time
import urllib.error, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
SHOP = """
[store]
name = "Rolling"
timezone = "UTC"
currency = "EUR"
from = "Rolling <a@b.example>"
postal_address = "1 Road"
[sending]
quiet_hours = ""
cap = ""
min_gap = ""
consent = "opt_out"
rate = "200/s"
[[rule]]
key = "browse"
status = "live"
trigger = { kind = "visited_without_buying", after = "3s", min_product_views = 1 }
[[rule.step]]
template = "browse-reminder"
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sink(threading.Thread):
    """Takes every mail, and remembers its Message-ID once its final dot was answered."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.ids = self.socket.getsockname()[1], []

    def run(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        lines = client.makefile("rb")
        say = lambda text: client.sendall(text.encode() + b"\r\n")
        try:
            say("220 sink")
            while line := lines.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    say("354 go on")
                    mail = b"".join(iter(lines.readline, b".\r\n"))
                    self.ids.append(re.search(rb"(?im)^message-id:\s*(\S+)", mail)[1])
                    say("250 taken")
                elif word == b"QUIT":
                    return say("221 bye")
                else:
                    say("250 ok")
        except OSError:
            pass


def homing(binary, env, *args, feed=None):
    done = subprocess.run([binary, *args], env=env, input=feed, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"homing {' '.join(args)} failed:\n{done.stderr}")
    return done.stdout


class Replica:
    def __init__(self, binary, env, folder, name):
        self.port = free_port()
        self.log = open(os.path.join(folder, name + ".log"), "w")
        env = dict(env, HOMING_LISTEN=f"127.0.0.1:{self.port}", HOMING_TICK="1s")
        self.process = subprocess.Popen([binary, "serve"], env=env, stderr=self.log, stdout=self.log)
        for _ in range(600):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz").close()
            except OSError:
                time.sleep(0.1)
                if self.process.poll() is not None:
                    break
        sys.exit(f"{name} did not start: see {self.log.name}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def main():
    old = os.path.abspath(sys.argv[1])
    new = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "../target/debug/homing"))
    postgres = subprocess.Popen(["bash", os.path.join(HERE, "it/support/postgres.sh"), "durable"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ready = postgres.stdout.readline().split()
    if ready[:1] != ["ready"]:
        sys.exit(" ".join(ready))
    folder, sink = tempfile.mkdtemp(), Sink()
    sink.start()
    env = dict(os.environ, HOMING_DATABASE_URL=f"postgres://postgres@localhost/postgres?host={ready[1]}",
               HOMING_SECRET="0123456789abcdef" * 3, HOMING_SMTP_URL=f"smtp://127.0.0.1:{sink.port}",
               HOMING_LOG="warn")
    open(os.path.join(folder, "shop.toml"), "w").write(SHOP)
    homing(old, env, "migrate")
    homing(old, env, "apply", os.path.join(folder, "shop.toml"))
    key = homing(old, env, "key", "create", "--scope", "ingest", "--name", "load").strip()

    replicas = [Replica(old, env, folder, "old-1"), Replica(old, env, folder, "old-2")]
    acknowledged, refused, over, numbers = [], [], threading.Event(), itertools.count()

    def load():
        while not over.is_set():
            n = next(numbers)
            person = {"userId": f"c{n}", "traits": {"email": f"c{n}@shop.example"}}
            view = {"userId": f"c{n}", "event": "Product Viewed", "properties": {"product_id": f"p{n % 9}"}}
            batch = [dict(person, type="identify", messageId=f"i{n}"), dict(view, type="track", messageId=f"v{n}")]
            body = json.dumps({"batch": batch, "writeKey": key}).encode()
            # As a real client: whoever is not answered tries again, elsewhere.
            for attempt in range(200):
                port = replicas[(n + attempt) % len(replicas)].port
                try:
                    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/batch", body,
                                                     {"Content-Type": "application/json"})
                    urllib.request.urlopen(request, timeout=60).close()
                    acknowledged.extend((f"i{n}", f"v{n}"))
                    break
                except urllib.error.HTTPError as error:
                    refused.append(error.code)
                except OSError:
                    pass
                time.sleep(0.05)
            time.sleep(0.01)

    threads = [threading.Thread(target=load) for _ in range(4)]
    [thread.start() for thread in threads]
    time.sleep(8)
    for n in (0, 1):
        before = len(acknowledged)
        newer = Replica(new, env, folder, f"new-{n + 1}")
        older, replicas[n] = replicas[n], newer
        print(f"new-{n + 1} serves; {(len(acknowledged) - before) // 2} batches taken in while it started", flush=True)
        time.sleep(4)
        older.stop()
        time.sleep(4)
    over.set()
    [thread.join() for thread in threads]
    time.sleep(10)
    [replica.stop() for replica in replicas]

    kept = [json.loads(line)["source_key"] for line in homing(new, env, "facts").splitlines()]
    lost, doubled = set(acknowledged) - set(kept), len(kept) - len(set(kept))
    twice = len(sink.ids) - len(set(sink.ids))
    tally = homing(new, env, "tick", "--format", "json")
    print(f"acknowledged facts {len(acknowledged)}, lost {len(lost)}, doubled {doubled}; "
          f"mails {len(sink.ids)}, twice {twice}, people {next(numbers)}; refused with {sorted(set(refused))}")
    print(homing(new, env, "rebuild", "--check").strip(), tally.strip())
    postgres.stdin.close()
    postgres.wait()
    faults = subprocess.run(f"grep -h 'ERROR' {folder}/*.log | sed 's/^[^ ]* *//' | sort | uniq -c | sort -rn | head -20",
                            shell=True, capture_output=True, text=True).stdout
    print(faults or "no error in any log")
    if lost or doubled or twice:
        sys.exit(f"something was lost or doubled: the logs are in {folder}")
    shutil.rmtree(folder)


main()
