#!/usr/bin/env python3
"""Keeps a server busy at the highest rate it takes, for as long as asked, and watches its memory: it must stay flat.

    benches/soak.py [--binary target/release/homing] [--minutes 60] [--clients 4] [--people 200000] [--gigabytes 20] [--database URL]

Clients tell of visits, baskets and orders, alone and in batches, each as fast as the server answers; rules write to
everybody who looked, and to everybody who ordered, and mail leaves for Postfix's smtp-sink; one client reads the lists of
the console's API all the while. A line each 10 seconds, and a table at the end. It fails when what the process holds for
itself grew by a fifth or more from the first quarter to the end. Wants Python 3 and smtp-sink (Debian: postfix), and some
gigabytes in $TMPDIR: everything that is told is stored.
"""

import argparse, itertools, json, multiprocessing, os, random, signal, socket, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from house import NEWEST, House

SHOP = """
[store]
name = "Soak"
timezone = "UTC"
currency = "EUR"
locale = "en"
from = "Soak <a@soak.example>"
postal_address = "1 Road"
[sending]
quiet_hours = ""
cap = ""
min_gap = ""
consent = "opt_out"
rate = "10000/s"
[[rule]]
key = "browse"
status = "live"
trigger = { kind = "visited_without_buying", after = "5s", min_product_views = 1 }
[[rule.step]]
template = "browse-reminder"
[[rule]]
key = "basket"
status = "live"
trigger = { kind = "cart_abandoned", after = "5s" }
[[rule.step]]
template = "cart-reminder"
[[rule]]
key = "receipt"
status = "live"
class = "service"
stop_on = []
trigger = { kind = "order", after = "1s" }
[[rule.step]]
template = "first-order-thanks"
"""


class Connection:
    """One kept connection; it asks again where it was asked to, or cut off."""

    def __init__(self, port):
        self.port, self.socket = port, None

    def open(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.socket.makefile("rb")

    def ask(self, head, body=b""):
        while True:
            try:
                if self.socket is None:
                    self.open()
                self.socket.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                status, length = self.answers.readline(), 0
                if not status:
                    raise ConnectionError("cut off")
                while (line := self.answers.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                self.answers.read(length)
                code = int(status[9:12])
                if code < 400:
                    return
                if code not in (408, 429, 503):
                    sys.exit(f"answered {code} to {head!r}")
                if code == 408:
                    raise ConnectionError("it stood still for longer than a request may take")
                time.sleep(0.2)
            except OSError:
                self.socket = None
                time.sleep(0.2)


def tell(port, key, client, people, told, is_full, is_over):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, chance = Connection(port), random.Random(client)
    post = lambda call: b"POST /v1/%s HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n" % call
    context = {
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "page": {"url": "https://soak.example/tea?utm_source=weibo", "path": "/tea", "title": "Tea"},
        "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
    }

    def numbers():
        new = itertools.count()
        while not is_full.value:
            yield next(new)
        # From here on all of it was told before, as by SDKs that heard no answer: it costs work, and no room.
        yield from itertools.cycle(range(next(new)))

    ids = (f"{client}-{n}" for n in numbers())

    def event(kind, **more):
        return {"type": kind, "messageId": next(ids), "context": context, **more}

    def visitor():
        """What one person does now: looks about, and of eight one fills a basket, and another one orders."""
        n = chance.randrange(people)
        who = {"userId": f"u-{n}", "anonymousId": f"b-{n}"}
        product = {"product_id": f"p-{n % 300}", "name": "Oolong", "price": 19.9, "currency": "EUR"}
        yield event("identify", **who, traits={"email": f"u{n}@mail.example", "name": f"Ann {n}"})
        for name in ("Product List Viewed", "Product Viewed", "Product Viewed"):
            yield event("track", **who, event=name, properties=product)
        does = chance.randrange(8)
        if does == 0:
            yield event("track", **who, event="Product Added", properties={**product, "quantity": 1})
        if does == 1:
            lines = [{**product, "quantity": 2}]
            order = {"order_id": next(ids), "total": 39.8, "currency": "EUR", "products": lines}
            yield event("track", **who, event="Order Completed", properties=order)

    # One of three clients tells each thing alone, as browsers do; the others together, as servers do.
    at_once = 1 if client % 3 == 0 else 25
    while not is_over.value:
        events = [event for _ in range(at_once) for event in visitor()]
        if at_once == 1:
            for each in events:
                connection.ask(post(each["type"].encode()), json.dumps({"writeKey": key, **each}).encode())
        else:
            connection.ask(post(b"batch"), json.dumps({"writeKey": key, "batch": events}).encode())
        told[client] += len(events)


def read(port, key, asked, is_over):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(port)
    paths = ["at-risk?limit=50", "customers?limit=50", "messages?status=sent&limit=50", "segments", "reports/rules"]
    for path in itertools.cycle(paths):
        if is_over.value:
            return
        head = f"GET /api/v1/{path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {key}\r\n"
        connection.ask(head.encode())
        asked[0] += 1
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=NEWEST)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--gigabytes", type=float, default=20, help="from where on what was told is told again, and nothing new")
    parser.add_argument("--database", help="as HOMING_DATABASE_URL has it; an SQLite file of its own, if not given")
    given = parser.parse_args()
    house = House(given.binary, SHOP, given.database)
    try:
        soak(house, given)
    finally:
        house.close()


def soak(house, given):
    ingest, reading = house.key("ingest"), house.key("read")
    house.serve()
    is_full, is_over = multiprocessing.Value("b", 0), multiprocessing.Value("b", 0)
    told, asked = multiprocessing.Array("Q", given.clients), multiprocessing.Array("Q", 1)
    work = lambda n: multiprocessing.Process(target=tell, args=(house.port, ingest, n, given.people, told, is_full, is_over))
    clients = [work(n) for n in range(given.clients)]
    clients.append(multiprocessing.Process(target=read, args=(house.port, reading, asked, is_over)))
    for client in clients:
        client.start()
    samples, begun = [], time.monotonic()
    print("minute   RSS MB   own MB      facts/s    mails/s   store GB", flush=True)
    before = (begun, 0, 0)
    try:
        while (passed := time.monotonic() - begun) < given.minutes * 60:
            time.sleep(min(10, max(0.1, given.minutes * 60 - passed)))
            house.lives()
            now, facts, mails = time.monotonic(), sum(told), house.sent()
            (rss, own), size = house.memory(), house.gigabytes()
            if size > given.gigabytes and not is_full.value:
                is_full.value = 1
                print("  the store has its size: from here on clients repeat themselves", flush=True)
            since, minute = now - before[0], (now - begun) / 60
            samples.append((minute, rss, own, facts, mails, size))
            print(f"{minute:6.1f} {rss:8.1f} {own:8.1f} {(facts - before[1]) / since:12.0f} {(mails - before[2]) / since:10.0f} {size:10.2f}", flush=True)
            before = (now, facts, mails)
    except KeyboardInterrupt:
        pass
    finally:
        is_over.value = 1
        for client in clients:
            client.join(60)
            client.kill()
    if samples:
        judge(samples, asked[0], house.stop(), house.warnings())


def judge(samples, pages, code, said):
    minutes, *_, facts, mails, _ = samples[-1]
    print(f"\n{facts:,} facts acknowledged, {mails:,} mails sent, {pages:,} pages read in {minutes:.0f} minutes; the server ended with {code}")
    print(f"{len(said)} warnings and errors in its log" + "".join(f"\n  {line[:200]}" for line in said[:5]))
    for at in (1, 5, 15, 30, 45, 60, 90, 120):
        if at <= minutes + 0.5:
            _, rss, own, facts, mails, size = min(samples, key=lambda sample: abs(sample[0] - at))
            print(f"  minute {at:3}: RSS {rss:6.1f} MB, of its own {own:6.1f} MB, {facts:,} facts, {mails:,} mails, {size:.2f} GB stored")
    # Medians of a tenth of the time each: one sample may fall on a full queue.
    median = lambda part: sorted(part)[len(part) // 2]
    tenth, quarter = max(1, len(samples) // 10), len(samples) // 4
    early = median([own for _, _, own, *_ in samples[quarter : quarter + tenth]])
    late = median([own for _, _, own, *_ in samples[-tenth:]])
    grown = late / early - 1
    print(f"  from minute {samples[quarter][0]:.0f} to the end its own memory went from {early:.1f} to {late:.1f} MB ({grown:+.1%})")
    if grown >= 0.2 or code != 0:
        sys.exit("memory is not flat" if grown >= 0.2 else "it did not end in good order")


if __name__ == "__main__":
    main()
