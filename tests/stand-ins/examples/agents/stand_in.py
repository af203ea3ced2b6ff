"""A stand-in for an agent of the original format: its three endpoints and two for the test."""

import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/.well-known/agent-configuration":
            self.reply(json.dumps({"name": os.environ.get("AGENT_NAME")}))
        elif self.path == "/health":
            self.reply(json.dumps({"status": "healthy"}))
        elif self.path == "/peers":
            self.reply(os.environ.get("CONNECTED_AGENTS", ""))
        elif self.path == "/environment":
            self.reply(json.dumps(dict(os.environ)))
        else:
            self.send_error(404)

    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
        self.reply(json.dumps({"response": f"{os.environ['AGENT_ID']}: {query}", "session_id": "1"}))

    def reply(self, text):
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["AGENT_PORT"])), Handler).serve_forever()
