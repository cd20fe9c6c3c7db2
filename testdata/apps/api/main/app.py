"""The shop's api: what there is to buy, as JSON."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stock


def build():
    try:
        with open(".build", encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return "not built"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, {"status": "ok", "build": build()})
        elif self.path == "/items":
            self.answer(200, {
                "branch": stock.BRANCH,
                "greeting": os.environ.get("GREETING", ""),
                "items": stock.items(),
            })
        else:
            self.answer(404, {"error": "there is /items and /healthz"})

    def answer(self, status, value):
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    print(f"api on port {port}, branch {stock.BRANCH}", flush=True)
    ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), port), Handler).serve_forever()
