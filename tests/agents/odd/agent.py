"""An agent that answers as no SDK does but real ones do, in the standard library alone.

    agent.py [--card KIND] [--tls CERT KEY]

The card: `good` (A2A 1.0 over JSON-RPC), `stream` (the same, saying that it streams), `wild` (its
URL is 0.0.0.0), `second` (a binding of its own first, then one that is not there, then JSON-RPC), `foreign` (a binding of its own
alone),
`guarded` (401 without a key), `none`, `html`. What is asked decides what comes:

    poll      a task that is completed when it was looked at three times
    never     nothing, ever
    close     the connection ends where the answer should be
    cut       a stream that breaks behind the task's beginning, which is then completed
    bytes     a stream in pieces of one byte
    escape    control characters
    error     a JSON-RPC error
    junk      JSON that is no answer
    text      no JSON
    key       what came in the header X-Key
    login     a task that wants credentials
    ID …      anything else: said again, with the A2A-Version that came
"""

import argparse
import json
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--card", default="good")
parser.add_argument("--tls", nargs=2)
ARGS = parser.parse_args()
KIND = ARGS.card
HOST = os.environ.get("A2A_BIND_HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "0"))
looks = {}


def card(url):
    main = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    interfaces = [main]
    if KIND == "wild":
        interfaces = [dict(main, url=f"http://0.0.0.0:{PORT}/")]
    if KIND == "foreign":
        interfaces = [dict(main, protocolBinding="https://example.org/own")]
    if KIND == "second":
        absent = dict(main, url=f"{url}/absent", protocolBinding="HTTP+JSON")
        interfaces = [dict(main, protocolBinding="https://example.org/own"), absent, main]
    return {
        "name": "odd",
        "description": "answers as no SDK does",
        "supportedInterfaces": interfaces,
        "capabilities": {"streaming": KIND == "stream"},
        "securitySchemes": {"key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}}},
        "skills": [{"id": "odd", "name": "Odd\x1b[31m", "description": "is odd", "tags": []}],
    }


def task(state, text=None, artifact=None):
    status = {"state": f"TASK_STATE_{state}"}
    if text:
        status["message"] = {"role": "ROLE_AGENT", "parts": [{"text": text}]}
    found = {"id": "t 1", "contextId": "c1", "status": status}
    if artifact:
        found["artifacts"] = [{"artifactId": "a", "parts": [{"text": artifact}]}]
    return {"task": found}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path != "/.well-known/agent-card.json" or KIND == "none":
            self.reply(404, {"detail": "Not Found"})
        elif KIND == "html":
            self.reply(200, "<!doctype html><title>It works</title>")
        elif KIND == "guarded" and self.headers.get("X-Key") != "sesame":
            self.reply(401, {"error": "who are you?"})
        else:
            self.reply(200, card(os.environ.get("A2A_PUBLIC_URL") or HERE))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/":
            self.reply(404, {"detail": "Not Found"})
            return
        method, params = body.get("method"), body.get("params", {})
        if method == "GetTask" and params["id"] == "mute":
            self.result({"task": {**task("COMPLETED", artifact="left in the task")["task"], "id": "mute"}})
            return
        if method == "GetTask":
            looks[params["id"]] = looks.get(params["id"], 0) + 1
            done = looks[params["id"]] >= 3
            print(f"look {looks[params['id']]} at {params['id']}", flush=True)
            self.result(task("COMPLETED", artifact="done at last") if done else task("WORKING"))
            return
        message = params["message"]
        text = message["parts"][0]["text"]
        if text == "poll":
            self.result(task("SUBMITTED", "on my way"))
        elif text == "never":
            print("waiting", flush=True)
            threading.Event().wait()
        elif text == "close":
            self.close_connection = True
        elif text == "cut":
            self.stream(f"data: {self.wrapped(task('WORKING'))}\n\ndata: {{\"jso", len(text) * 9999)
        elif text == "bytes":
            pieces = [task("WORKING", "lookïng"), task("COMPLETED", artifact="größe ✓")]
            events = [f": ping\r\n\r\nevent: x\r\ndata: {self.wrapped(p)}\r\n\r\n" for p in pieces]
            self.stream("".join(events))
        elif text == "mute":
            ended = {"taskId": "mute", "contextId": "c1", "status": {"state": "TASK_STATE_COMPLETED"}}
            self.stream(f"data: {self.wrapped({'statusUpdate': ended})}\n\n")
        elif text == "escape":
            self.result({"message": {"role": "ROLE_AGENT", "parts": [{"text": "\x1b[2Jhi\x07"}]}})
        elif text == "error":
            detail = [{"fieldViolations": [{"field": "message", "description": "not today"}]}]
            error = {"code": -32602, "message": "Invalid parameters", "data": detail}
            self.reply(200, {"jsonrpc": "2.0", "id": body["id"], "error": error})
        elif text == "junk":
            self.result({"what": "ever"})
        elif text == "text":
            self.reply(200, "no JSON at all")
        elif text == "key":
            said = self.headers.get("X-Key", "nothing")
            self.result({"message": {"role": "ROLE_AGENT", "parts": [{"text": said}]}})
        elif text == "login":
            self.result(task("AUTH_REQUIRED", "log in at http://login.example"))
        else:
            said = f"{text} ({method}, {self.headers.get('A2A-Version')}, {message.get('contextId')})"
            parts = [{"text": said}]
            self.result({"message": {"role": "ROLE_AGENT", "contextId": "c1", "parts": parts}})

    def wrapped(self, value):
        return json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}, ensure_ascii=False)

    def result(self, value):
        self.reply(200, self.wrapped(value))

    def reply(self, status, value):
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, text, length=None):
        """Byte by byte; with a length, less than was promised."""
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        for at in range(len(data)):
            self.wfile.write(data[at : at + 1])
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, format, *args):
        pass


server = ThreadingHTTPServer((HOST, PORT), Handler)
server.daemon_threads = True
PORT = server.server_address[1]
HERE = f"{'https' if ARGS.tls else 'http'}://127.0.0.1:{PORT}"
if ARGS.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ARGS.tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"listening on {HOST} port {PORT}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(130)
