"""The shop's web server: a page with what the api of its own set sells."""

import html
import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import page

# Only the api of the same set: no proxy of the machine's comes between.
fetch = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "ok")
        elif self.path == "/":
            self.page()
        else:
            self.answer(404, "there is / and /healthz")

    def page(self):
        url = os.environ.get("API_URL", "")
        try:
            with fetch(url + "/items", timeout=5) as answer:
                data = json.load(answer)
        except (OSError, ValueError) as err:
            self.answer(502, f"The api at {html.escape(url)} does not answer: {html.escape(str(err))}")
            return
        self.answer(200, page.render(os.environ.get("TITLE", "Shop"), data))

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    print(f"web on port {port}, branch {page.BRANCH}", flush=True)
    ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), port), Handler).serve_forever()
