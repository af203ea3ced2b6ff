"""An agent on the last official SDK for A2A 0.3. See ../README.md.

    agent.py [--rest]

JSON-RPC at the URL itself; --rest: HTTP+JSON below /v1 instead.
"""

import argparse
import asyncio
import os
import uuid

import httpx
import uvicorn
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentSkill,
    Message,
    Part,
    Role,
    TextPart,
    TransportProtocol,
)
from a2a.utils import new_task

URL = os.environ["A2A_PUBLIC_URL"].rstrip("/")
HOST = os.environ["A2A_BIND_HOST"]
PORT = int(os.environ["PORT"])
ME = "{AGENT_ID}[{A2ARUN_INDEX}]@{A2ARUN_NODE}".format_map(os.environ)
PEERS = [url for url in os.environ.get("CONNECTED_AGENTS", "").split(",") if url]


def part(text):
    return Part(root=TextPart(text=text))


def message(role, text, **ids):
    return Message(message_id=str(uuid.uuid4()), role=role, parts=[part(text)], **ids)


def text_of(parts):
    return "".join(part.root.text for part in parts if isinstance(part.root, TextPart))


async def try_ask(url, text):
    try:
        return await ask(url, text)
    except Exception as error:
        return f"{url}: {error}"


async def ask(url, text):
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        transports = [TransportProtocol.jsonrpc, TransportProtocol.http_json]
        config = ClientConfig(httpx_client=http, supported_transports=transports)
        client = ClientFactory(config).create(card)
        answer = ""
        async for event in client.send_message(message(Role.user, text)):
            if isinstance(event, Message):
                answer = text_of(event.parts)
            else:
                answer = "".join(text_of(a.parts) for a in event[0].artifacts or [])
        return answer


class Executor(AgentExecutor):
    def __init__(self):
        self.asked = {}

    async def execute(self, context, queue):
        text = context.get_user_input()
        word, _, rest = text.partition(" ")
        self.asked[context.context_id] = self.asked.get(context.context_id, 0) + 1
        if word == "direct":
            answer = message(Role.agent, f"{ME}: {rest}", context_id=context.context_id)
            await queue.enqueue_event(answer)
            return
        ids = {"task_id": context.task_id, "context_id": context.context_id}
        updater = TaskUpdater(queue, **ids)
        if context.current_task is None:
            await queue.enqueue_event(new_task(context.message))
        else:
            await self.answer(updater, f"you said {text}")
            return
        await updater.start_work(message(Role.agent, "looking", **ids))
        if word == "which":
            await updater.requires_input(message(Role.agent, "which one?", **ids), final=True)
        elif word == "fail":
            await updater.failed(message(Role.agent, "it broke", **ids))
        elif word == "count":
            for n in range(1, int(rest) + 1):
                await updater.add_artifact(
                    [part(f"{n} ")],
                    artifact_id="numbers",
                    append=n > 1,
                    last_chunk=n == int(rest),
                )
            await updater.complete()
        elif word == "again":
            await self.answer(updater, f"question {self.asked[context.context_id]}")
        elif word == "ask-peers":
            answers = await asyncio.gather(*(try_ask(url, "hello") for url in PEERS))
            await self.answer(updater, "\n".join(answers))
        else:
            await self.answer(updater, f"{ME}: {text}")

    async def answer(self, updater, text):
        await updater.add_artifact([part(text)], name="answer", last_chunk=True)
        await updater.complete()

    async def cancel(self, context, queue):
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rest", action="store_true")
    args = parser.parse_args()
    transport = TransportProtocol.http_json if args.rest else TransportProtocol.jsonrpc
    card = AgentCard(
        name=os.environ["AGENT_ID"],
        description="an agent on the official Python SDK for A2A 0.3",
        version="1.0.0",
        url=URL,
        preferred_transport=transport,
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="echo", name="Echo", description="says it again", tags=["echo"])],
    )
    handler = DefaultRequestHandler(agent_executor=Executor(), task_store=InMemoryTaskStore())
    if args.rest:
        app = A2ARESTFastAPIApplication(agent_card=card, http_handler=handler).build()
    else:
        app = A2AStarletteApplication(agent_card=card, http_handler=handler).build()
    print(f"listening on {HOST} port {PORT}", flush=True)
    uvicorn.run(app, host=HOST, port=PORT, log_level="warning", timeout_graceful_shutdown=1)


main()
