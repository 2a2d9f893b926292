#!/usr/bin/env python3
"""A campaign to a million customers, and beside it people who order and are owed a receipt at once.

    benches/backlog.py [--binary target/release/homing] [--mails 1000000] [--rate 10000/s] [--minutes 20] [--database URL]

The program itself imports the customers, fires the campaign, plans and sends, into Postfix's smtp-sink on the same cores;
every five seconds somebody new orders. Printed are the backlog, its memory and how fast it drains, and at the end how long
receipts waited, and how far any message of the campaign was from its turn (on SQLite). It fails when a receipt waited for
more than ten seconds, when a message was further from its turn than the few that are in the air at once, or when any is
missing. Wants Python 3, smtp-sink (Debian: postfix), and four gigabytes in $TMPDIR for a million.
"""

import argparse, json, os, sqlite3, sys, time
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from house import NEWEST, House

SHOP = """
[store]
name = "Backlog"
timezone = "UTC"
currency = "EUR"
locale = "en"
from = "Backlog <a@backlog.example>"
postal_address = "1 Road"
[sending]
quiet_hours = ""
cap = ""
min_gap = ""
rate = "RATE"
[[rule]]
key = "receipt"
status = "live"
class = "service"
stop_on = []
trigger = { kind = "order", after = "1s" }
[[rule.step]]
template = "first-order-thanks"
"""
CAMPAIGN = """
[[rule]]
key = "campaign"
status = "live"
trigger = { kind = "schedule", cron = "CRON" }
[[rule.step]]
template = "win-back"
"""
# Claimed and not settled at once, and as many again that a turn may bring in between.
IN_THE_AIR = 64
# A tick of the planner, the turn that claims it, and the wire, on a machine that has no time to spare.
PATIENCE = 10.0


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def order(house, key, n):
    tea = {"product_id": "p-1", "name": "Oolong", "price": 19.9, "quantity": 1}
    who = {"userId": f"buyer-{n}", "messageId": f"{n}-i", "type": "identify", "traits": {"email": f"buyer{n}@mail.example"}}
    bought = {"order_id": f"o-{n}", "total": 19.9, "currency": "EUR", "products": [tea]}
    told = {"userId": f"buyer-{n}", "messageId": f"{n}-o", "type": "track", "event": "Order Completed", "properties": bought}
    begun = time.monotonic()
    house.post("/v1/batch", {"writeKey": key, "batch": [who, told]})
    return time.monotonic() - begun


def receipts(house, key):
    """For how long each waited since it was due; `None` of one that still does."""
    items, cursor = [], ""
    while True:
        page = json.loads(house.get(f"/api/v1/messages?rule=receipt&limit=500{cursor}", key))
        items += page["items"]
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    waited = lambda item: (instant(item["sent_at"]) - instant(item["scheduled_at"])).total_seconds()
    return [waited(item) if item["sent_at"] else None for item in items]


def furthest_from_its_turn(file):
    """Of the campaign's messages in the order in which they left: how many places one was from where it belonged."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    rows = db.execute(
        "SELECT scheduled_at, id, sent_at FROM messages WHERE status = 'sent' AND class = 'marketing' ORDER BY sent_at, scheduled_at, id"
    ).fetchall()
    turns = sorted(range(len(rows)), key=lambda n: rows[n][:2])
    return len(rows), max((abs(turn - n) for turn, n in enumerate(turns)), default=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=NEWEST)
    parser.add_argument("--mails", type=int, default=1_000_000)
    parser.add_argument("--rate", default="10000/s")
    parser.add_argument("--minutes", type=float, default=20, help="at most; what is left by then is told")
    parser.add_argument("--database", help="as HOMING_DATABASE_URL has it; an SQLite file of its own, if not given")
    given = parser.parse_args()
    shop = SHOP.replace("RATE", given.rate)
    house = House(given.binary, shop, given.database)
    try:
        drain(house, shop, given)
    finally:
        house.close()


def drain(house, shop, given):
    file = os.path.join(house.folder, "customers.csv")
    with open(file, "w") as csv:
        csv.write("customer_id,email,first_name,consent_email,consent_at\n")
        csv.writelines(f"c{n},c{n}@mail.example,Ann {n},granted,2026-01-01\n" for n in range(given.mails))
    begun = time.monotonic()
    house.run("import", "customers", file)
    os.remove(file)
    print(f"{given.mails:,} customers imported in {time.monotonic() - begun:.0f} s", flush=True)
    ingest, reading = house.key("ingest"), house.key("read")
    fires = (datetime.now(timezone.utc) + timedelta(seconds=75)).replace(second=0, microsecond=0)
    house.apply(shop + CAMPAIGN.replace("CRON", f"{fires.minute} {fires.hour} {fires.day} {fires.month} *"))
    house.serve()
    # How long a receipt takes while nothing else is to do.
    for n in range(5):
        order(house, ingest, f"before-{n}")
        time.sleep(1)
    time.sleep(5)
    quiet = receipts(house, reading)
    before, sent = house.sent(), 0
    time.sleep(max(0.0, (fires - datetime.now(timezone.utc)).total_seconds()))
    begun = last = time.monotonic()
    print("seconds     sent   mails/s   RSS MB   own MB   told in ms", flush=True)
    told, peak, orders = [], 0.0, 0
    while sent < given.mails + orders and time.monotonic() - begun < given.minutes * 60:
        told.append(order(house, ingest, f"amid-{orders}"))
        orders += 1
        time.sleep(5)
        house.lives()
        now, left = time.monotonic(), house.sent() - before
        (rss, own), since = house.memory(), now - last
        peak = max(peak, rss)
        if orders % 4 == 0 or left >= given.mails:
            print(f"{now - begun:7.0f} {left:8,} {(left - sent) / since:9.0f} {rss:8.1f} {own:8.1f} {told[-1] * 1e3:12.1f}", flush=True)
            last, sent = now, left
    seconds = time.monotonic() - begun
    waited = receipts(house, reading)
    code, said = house.stop(), house.warnings()
    amid = waited[: len(waited) - len(quiet)] if waited[-len(quiet):] == quiet else waited
    late = sorted(PATIENCE * 1_000 if one is None else one for one in amid)
    middle = lambda values: sorted(values)[len(values) // 2]
    print(f"\n{sent:,} mails in {seconds:.0f} s, {sent / seconds:.0f}/s; at most {peak:.0f} MB in memory; the server ended with {code}")
    print(f"receipts before: {len(quiet)}, of which the middle one waited {middle([one or 0 for one in quiet]):.2f} s")
    print(f"receipts amid it: {len(amid)}, waited {middle(late):.2f} s in the middle, {late[-1]:.2f} s at most; "
          f"an order was answered within {middle(told) * 1e3:.1f} ms in the middle, {max(told) * 1e3:.1f} ms at most")
    print(f"{len(said)} warnings and errors in its log" + "".join(f"\n  {line[:200]}" for line in said[:5]))
    wrong = []
    if late[-1] > PATIENCE or len(amid) < orders:
        wrong.append("a receipt waited too long")
    if house.file:
        left, furthest = furthest_from_its_turn(house.file)
        print(f"{left:,} of the campaign left; the one furthest from its turn was {furthest} places from it")
        wrong += ["it drains out of order"] if furthest > IN_THE_AIR else []
        if seconds >= given.minutes * 60:
            print(f"time is over, and {given.mails - left:,} of it wait")
        elif left < given.mails:
            wrong.append("some of the campaign is missing")
    if wrong or code != 0:
        sys.exit("; ".join(wrong) or "it did not end in good order")


if __name__ == "__main__":
    main()
