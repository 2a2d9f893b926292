"""A house of its own for a measurement from outside: the program on a fresh database, and Postfix's smtp-sink to take its mail."""

import json, os, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request

NEWEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "target", "release", "homing")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class House:
    """Its database is an SQLite file in a folder for temporary files, or what `database` says; both end with it."""

    def __init__(self, binary, shop, database=None):
        self.binary, self.folder = os.path.abspath(binary), tempfile.mkdtemp(prefix="homing-bench")
        self.file = None if database else os.path.join(self.folder, "bench.db")
        self.port, self.mail, self.server = free_port(), free_port(), None
        self.log = open(os.path.join(self.folder, "serve.log"), "w+")
        self.settings = {name: value for name, value in os.environ.items() if not name.startswith("HOMING_")} | {
            "HOMING_DATABASE_URL": database or f"sqlite:{self.file}",
            "HOMING_SECRET": "a secret for benches only, and long enough",
            "HOMING_LISTEN": f"127.0.0.1:{self.port}",
            "HOMING_SMTP_URL": f"smtp://127.0.0.1:{self.mail}",
            "HOMING_TICK": "1s",
            "HOMING_LOG": "warn",
        }
        as_nobody = ["-u", "nobody"] if os.getuid() == 0 else []
        sink = ["/usr/sbin/smtp-sink", *as_nobody, f"127.0.0.1:{self.mail}", "1000"]
        self.sink = subprocess.Popen(sink, stderr=subprocess.DEVNULL)
        self.run("migrate")
        self.apply(shop)

    def run(self, *arguments):
        done = subprocess.run([self.binary, *arguments], env=self.settings, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            self.close()
            sys.exit(f"homing {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    def apply(self, shop):
        with open(os.path.join(self.folder, "shop.toml"), "w") as file:
            file.write(shop)
        self.run("apply", "shop.toml")

    def key(self, scope):
        return self.run("key", "create", "--scope", scope, "--name", "bench")

    def serve(self):
        self.server = subprocess.Popen([self.binary, "serve"], env=self.settings, cwd=self.folder, stdout=self.log, stderr=self.log)
        while True:
            try:
                return self.get("/readyz")
            except OSError:
                self.lives()
                time.sleep(0.05)

    def lives(self):
        if self.server.poll() is not None:
            sys.exit(f"homing ended ({self.server.returncode}): {open(self.log.name).read()[-2000:]}")

    def get(self, path, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.read().decode()

    def post(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def memory(self):
        """Megabytes: in memory at all, and of those what is no page of a file."""
        status = dict(line.split(":", 1) for line in open(f"/proc/{self.server.pid}/status") if ":" in line)
        return [int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon")]

    def sent(self):
        """Messages of which the mail server has said that it has them."""
        while True:
            try:
                lines = [line.split() for line in self.get("/metrics").splitlines()]
                break
            except OSError:
                # A machine that was held still, and the server with it.
                self.lives()
                time.sleep(0.5)
        return int(sum(float(line[-1]) for line in lines if line and line[0].startswith("homing_messages") and 'outcome="sent"' in line[0]))

    def gigabytes(self):
        return sum(os.path.getsize(os.path.join(self.folder, name)) for name in os.listdir(self.folder)) / 1e9

    def stop(self):
        """Gives the exit code, or why there is none."""
        self.server.send_signal(signal.SIGTERM)
        try:
            return self.server.wait(120)
        except subprocess.TimeoutExpired:
            self.server.kill()
            return "none: it did not stop in two minutes"

    def warnings(self):
        return [line for line in open(self.log.name).read().splitlines() if "WARN" in line or "ERROR" in line]

    def close(self):
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        self.sink.kill()
        self.sink.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
