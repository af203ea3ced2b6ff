"""The small part of the A2A protocol that these examples need, in the standard library alone.

`serve` answers the agent card, `SendMessage` (A2A 1.0) and `message/send` (A2A 0.3).
`ask` sends a text to an agent and returns the text of its answer; `ask_all` asks several at once.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARD_PATHS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
VERSIONS = ("0.3", "1.0")
BODY_MAX = 1 << 20


def log(text):
    """One whole line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def peers():
    """The URLs of the agents that this one was wired to."""
    return [url for url in os.environ.get("CONNECTED_AGENTS", "").split(",") if url]


def card_of(url, timeout=5.0):
    with _open(url.rstrip("/") + CARD_PATHS[0], timeout=timeout) as answer:
        return json.load(answer)


def ask(url, text, timeout=30.0):
    """Asks with A2A 1.0, and again with 0.3 where the agent does not know 1.0."""
    message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"text": text}]}
    reply = _call(url, "SendMessage", {"message": message}, "1.0", timeout)
    if reply.get("error", {}).get("code") in (-32601, -32009):
        message = {
            "kind": "message",
            "messageId": message["messageId"],
            "role": "user",
            "parts": [{"kind": "text", "text": text}],
        }
        reply = _call(url, "message/send", {"message": message}, "0.3", timeout)
    if "error" in reply:
        raise RuntimeError(f"{url}: {reply['error'].get('message', reply['error'])}")
    return _answer_text(reply.get("result") or {})


def ask_all(urls, text):
    """Asks each of them at once; the answers come in the order of the URLs."""
    if not urls:
        return []
    with ThreadPoolExecutor(max_workers=min(32, len(urls))) as pool:
        return list(pool.map(lambda url: ask(url, text), urls))


def wait_for(urls, seconds=30):
    """Until each of them answers: in a mesh peers start together with us."""
    deadline = time.monotonic() + seconds
    for url in urls:
        while True:
            try:
                card_of(url)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def first_question(url):
    """Asks this agent what stands in FIRST_QUESTION, so that its log shows an answer."""
    text = os.environ.get("FIRST_QUESTION")
    if not text:
        return
    try:
        for line in ask(url, text).splitlines():
            log(f"answer: {line}")
    except Exception as error:
        log(f"the first question failed: {error}")
        return
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ask.py")
    log(f"ask more: python3 {script} {url} 'TEXT'")


def skill(name, description, example):
    """One entry of an agent card's `skills`."""
    ident = name.lower().replace(" ", "-")
    parts = {"id": ident, "name": name, "description": description}
    return dict(parts, tags=["example"], examples=[example])


def serve(name, description, skill, answer, started=None):
    """Serves until SIGTERM. `answer(text)` runs in a thread of its own for each request."""
    host = os.environ.get("A2A_BIND_HOST", "127.0.0.1")
    port = int(os.environ.get("PORT") or os.environ.get("AGENT_PORT") or "0")
    server = _Server((host, port), _Handler)
    port = server.server_address[1]
    url = os.environ.get("A2A_PUBLIC_URL") or f"http://{_bracketed(host)}:{port}"
    server.card = _card(name, description, skill, url)
    server.answer = answer

    def leave(_signal, _frame):
        # Not server.shutdown(): that waits for the poll loop, and TERM means now.
        os.write(1, f"{name}: asked to stop\n".encode())
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    log(f"{name}: listening on {host} port {port}, reachable as {url}")
    if started is not None:
        threading.Thread(target=started, args=(url,), daemon=True).start()
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    card = {}
    answer = None

    def __init__(self, address, handler):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self):
        # HTTPServer looks its own name up in the DNS here, which can take seconds.
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        if urllib.parse.urlsplit(self.path).path in CARD_PATHS:
            self._reply(200, self.server.card)
        else:
            self._reply(404, {"error": "not found"})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            self.close_connection = True
            self._reply(413, {"error": "too long"})
            return
        body = self.rfile.read(length)
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise ValueError("not an object")
        except ValueError:
            self._reply(200, _error(None, -32700, "the request is not a JSON object"))
            return
        self._reply(200, self._rpc(request))

    def _rpc(self, request):
        ident, method = request.get("id"), request.get("method")
        version = self.headers.get("A2A-Version")
        if version and ".".join(version.split(".")[:2]) not in VERSIONS:
            return _error(ident, -32009, f"A2A version {version} is not supported")
        if method not in ("SendMessage", "message/send"):
            return _error(ident, -32601, f"method {method} is not supported")
        try:
            parts = request["params"]["message"]["parts"]
            text = " ".join(part["text"] for part in parts if "text" in part)
        except (KeyError, TypeError):
            return _error(ident, -32602, "params.message.parts is missing")
        try:
            answer = self.server.answer(text)
        except Exception as error:  # whatever it is, the caller must hear of it
            log(f"{self.server.card['name']}: failed: {error}")
            return _error(ident, -32603, str(error))
        if method == "SendMessage":
            message = {"role": "ROLE_AGENT", "parts": [{"text": answer}]}
            result = {"message": dict(message, messageId=str(uuid.uuid4()))}
        else:
            message = {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": answer}]}
            result = dict(message, messageId=str(uuid.uuid4()))
        return {"jsonrpc": "2.0", "id": ident, "result": result}

    def _reply(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


def _card(name, description, skill, url):
    def interface(version):
        return {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version}

    return {
        "name": name,
        "description": description,
        "version": "1.0.0",
        "supportedInterfaces": [interface("1.0"), interface("0.3")],
        # Where readers of A2A 0.3 look.
        "url": url,
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "capabilities": {"streaming": False, "pushNotifications": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill],
    }


def _error(ident, code, message):
    return {"jsonrpc": "2.0", "id": ident, "error": {"code": code, "message": message}}


def _open(request, timeout):
    # Agents call each other directly: a proxy of the environment must not come between them.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(request, timeout=timeout)


def _call(url, method, params, version, timeout):
    body = {"jsonrpc": "2.0", "id": str(uuid.uuid4()), "method": method, "params": params}
    headers = {"Content-Type": "application/json", "A2A-Version": version}
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    with _open(request, timeout) as answer:
        return json.load(answer)


def _answer_text(result):
    """The text of a message, or of a task's artifacts and status, in 1.0 or 0.3."""
    found = result.get("message") or result.get("task") or result
    parts = list(found.get("parts") or [])
    for artifact in found.get("artifacts") or []:
        parts += artifact.get("parts") or []
    if not parts:
        parts = ((found.get("status") or {}).get("message") or {}).get("parts") or []
    return "\n".join(part["text"] for part in parts if "text" in part)


def _bracketed(host):
    return f"[{host}]" if ":" in host else host
