"""An agent in the original project's contract, which is no A2A. See ../README.md."""

import asyncio
import os
import uuid

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

HOST = os.environ["A2A_BIND_HOST"]
PORT = int(os.environ["PORT"])
ME = "{AGENT_ID}[{A2ARUN_INDEX}]@{A2ARUN_NODE}".format_map(os.environ)
PEERS = [url for url in os.environ.get("CONNECTED_AGENTS", "").split(",") if url]
app = FastAPI()
asked = {}


class Query(BaseModel):
    query: str
    session_id: str | None = None


@app.get("/health")
async def health():
    return {"status": "healthy", "agent": os.environ["AGENT_ID"]}


@app.get("/.well-known/agent-configuration")
async def configuration():
    return {
        "name": os.environ["AGENT_ID"],
        "description": "an agent that is asked with /query",
        # As the original has it: the address that it binds.
        "url": f"http://{HOST}:{PORT}",
        "version": "1.0.0",
        "capabilities": {"streaming": True, "push_notifications": False},
        "default_input_modes": ["text"],
        "default_output_modes": ["text"],
        "skills": [{"id": "echo", "name": "Echo", "description": "says it again", "tags": []}],
    }


async def ask(url, text):
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.post(f"{url}/query", json={"query": text})
        return answer.raise_for_status().json()["response"]


@app.post("/query")
async def query(body: Query):
    session = body.session_id or str(uuid.uuid4())
    asked[session] = asked.get(session, 0) + 1
    if body.query == "again":
        response = f"question {asked[session]}"
    elif body.query == "fail":
        raise RuntimeError("it broke")
    elif body.query == "ask-peers":
        response = "\n".join(await asyncio.gather(*(ask(url, "hello") for url in PEERS)))
    else:
        response = f"{ME}: {body.query}"
    return {"response": response, "session_id": session}


print(f"listening on {HOST} port {PORT}", flush=True)
uvicorn.run(app, host=HOST, port=PORT, log_level="warning", timeout_graceful_shutdown=1)
