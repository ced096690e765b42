"""A stand-in for a real program: uses as much of the machine as it is told, listens at $PORT, and prints what programs print."""
import argparse, http.server, os, random, sys, threading, time

args = argparse.ArgumentParser()
args.add_argument("name")
args.add_argument("--memory", type=int, default=0, help="MB")
args.add_argument("--busy", type=float, default=0, help="share of a core")
args.add_argument("--lines", type=float, default=0.3, help="lines a second")
args = args.parse_args()

if os.environ.get("RATES") == "v3":
    raise KeyError("rates.v3 has no column 'currency'")

held = bytearray(os.urandom(1 << 20) * args.memory)
random.seed(f"{args.name} {os.getpid()}")


def log(level, text, **more):
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    fields = "".join(f" {k}={v}" for k, v in more.items())
    print(f"{stamp} {level:<7} {text}{fields}", flush=True, file=sys.stderr if level == "ERROR" else sys.stdout)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{args.name}\n".encode())

    def log_message(self, *_):
        pass


if os.environ.get("PORT"):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
log("INFO", f"{args.name} is up", pid=os.getpid(), port=os.environ.get("PORT", "-"))

paths = ["/", "/login", "/api/orders", "/api/orders/1842", "/api/cart", "/static/app.css", "/search?q=lamp", "/healthz"]
due = time.monotonic()
while True:
    start = time.monotonic()
    while time.monotonic() - start < 0.1 * args.busy:
        pass
    if start >= due:
        due = start + random.expovariate(args.lines or 1e-9)
        dice = random.random()
        if dice < 0.90:
            log("INFO", f'"GET {random.choice(paths)}"', status=200, ms=round(random.lognormvariate(2.6, 0.7), 1))
        elif dice < 0.97:
            log("WARNING", "slow query", table="orders", ms=random.randint(400, 1900))
        else:
            log("ERROR", "upstream timed out, trying again", host="inventory", attempt=random.randint(1, 3))
    time.sleep(max(0.01, 0.1 * (1 - args.busy)))
