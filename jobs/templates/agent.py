"""A small A2A agent in the standard library alone. Put your own work into `answer`.

It serves the agent card and answers `SendMessage` (A2A 1.0) and `message/send` (A2A 0.3). a2arun
gives it $PORT to listen on and the URLs of the agents that it may call in $CONNECTED_AGENTS.
"""

import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("AGENT_ID", "agent")
HOST = os.environ.get("A2A_BIND_HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "0"))
URL = os.environ.get("A2A_PUBLIC_URL", f"http://{HOST}:{PORT}")
PEERS = [url for url in os.environ.get("CONNECTED_AGENTS", "").split(",") if url]
# Agents call each other directly: no proxy comes between them.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answer(text, asked_before):
    """What this agent says to a text: its own word and, in brackets, those of its peers."""
    # Who was asked before us is not asked again: circles of calls are allowed.
    peers = [url for url in PEERS if url not in asked_before]
    heard = [ask(url, text, asked_before + [URL]) for url in peers]
    word = f"{NAME}: {os.environ.get('GREETING', 'here')}"
    return f"{word} ({'; '.join(heard)})" if heard else word


def ask(url, text, asked_before):
    """Sends a text to an agent and gives the text of its answer."""
    message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"text": text}]}
    call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    headers = {
        "Content-Type": "application/json",
        "A2A-Version": "1.0",
        "X-Asked-Before": ",".join(asked_before),
    }
    request = urllib.request.Request(url, data=json.dumps(call).encode(), headers=headers)
    deadline = time.monotonic() + 10
    while True:
        try:
            with OPENER.open(request, timeout=60) as reply:
                parts = json.load(reply)["result"]["message"]["parts"]
                return " ".join(part["text"] for part in parts)
        except urllib.error.URLError as error:
            # Agents of one stage start together: a peer may not listen yet.
            refused = isinstance(error.reason, ConnectionRefusedError)
            if not refused or time.monotonic() > deadline:
                return f"{url}: {error.reason}"
            time.sleep(0.05)


def card():
    """Who we are, for other agents and for a2arun, which takes it as the sign that we are ready."""
    return {
        "name": NAME,
        "description": "A small A2A agent",
        "version": "1.0.0",
        "supportedInterfaces": [
            {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": version}
            for version in ("1.0", "0.3")
        ],
        # Where readers of A2A 0.3 look.
        "url": URL,
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "capabilities": {"streaming": False, "pushNotifications": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [
            {"id": "talk", "name": "Talk", "description": "Answers a text", "tags": ["demo"]}
        ],
    }


def error(code, message):
    return {"error": {"code": code, "message": message}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = self.path in ("/.well-known/agent-card.json", "/.well-known/agent.json")
        self.reply(200, card()) if known else self.reply(404, {"error": "not found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked_before = [u for u in self.headers.get("X-Asked-Before", "").split(",") if u]
        call = {}
        try:
            call = json.loads(body)
            modern = {"SendMessage": True, "message/send": False}[call["method"]]
            parts = call["params"]["message"]["parts"]
            text = " ".join(part["text"] for part in parts if "text" in part)
        except (ValueError, TypeError):
            result = error(-32700, "the request is not a JSON object with a message")
        except KeyError as missing:
            result = error(-32601, f"not supported, or missing: {missing}")
        else:
            said = answer(text, asked_before)
            message = {"messageId": str(uuid.uuid4()), "parts": [{"text": said}]}
            if modern:
                result = {"result": {"message": dict(message, role="ROLE_AGENT")}}
            else:
                message["parts"][0]["kind"] = "text"
                result = {"result": dict(message, kind="message", role="agent")}
        ident = call.get("id") if isinstance(call, dict) else None
        self.reply(200, {"jsonrpc": "2.0", "id": ident, **result})

    def reply(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # HTTPServer would look its own name up in the DNS here, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address[:2]


if __name__ == "__main__":
    # TERM means now: nothing is held that would have to be put in order.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    server = Server((HOST, PORT), Handler)
    question = os.environ.get("FIRST_QUESTION")
    if question:

        def first():
            print(f"question: {question}", flush=True)
            print(f"answer: {answer(question, [])}", flush=True)

        threading.Thread(target=first, daemon=True).start()
    print(f"{NAME} listens on {HOST} port {PORT}", flush=True)
    server.serve_forever()
