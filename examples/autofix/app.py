"""A small web server whose averages cannot be had: find the bug, or have it found."""

import http.server
import json
import os


def average(numbers):
    return sum(numbers) / len(numbrs)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"average": average([1, 2, 3])}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    print("the average of 1, 2 and 3 is", average([1, 2, 3]), flush=True)
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
