"""An agent on the official SDK for A2A 1.0. See ../README.md.

    agent.py [--bindings JSONRPC,HTTP+JSON,GRPC] [--compat]

Bindings in order of preference; --compat speaks A2A 0.3 at the same URLs as well.
"""

import argparse
import asyncio
import os
import uuid

import grpc
import httpx
import uvicorn
from a2a.client import ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import get_stream_response_text
from a2a.server.agent_execution.agent_executor import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import (
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Message,
    Part,
    Role,
    SendMessageRequest,
    Task,
    TaskState,
    TaskStatus,
    a2a_pb2_grpc,
)
from starlette.applications import Starlette

URL = os.environ["A2A_PUBLIC_URL"].rstrip("/")
HOST = os.environ["A2A_BIND_HOST"]
PORT = int(os.environ["PORT"])
ME = "{AGENT_ID}[{A2ARUN_INDEX}]@{A2ARUN_NODE}".format_map(os.environ)
PEERS = [url for url in os.environ.get("CONNECTED_AGENTS", "").split(",") if url]


def agent_message(text, **ids):
    parts = [Part(text=text)]
    return Message(message_id=str(uuid.uuid4()), role=Role.ROLE_AGENT, parts=parts, **ids)


async def try_ask(url, text):
    try:
        return await ask(url, text)
    except Exception as error:
        return f"{url}: {error}"


async def ask(url, text):
    """Asks a peer through the SDK: its card, its first interface, its stream."""
    message = Message(
        message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=[Part(text=text)]
    )
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        bindings = ["JSONRPC", "HTTP+JSON"]
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=bindings)
        client = await ClientFactory(config).create_from_url(url)
        texts = []
        async for answer in client.send_message(SendMessageRequest(message=message)):
            if answer.WhichOneof("payload") in ("message", "artifact_update"):
                texts.append(get_stream_response_text(answer))
        return "".join(texts)


class Executor(AgentExecutor):
    def __init__(self):
        self.asked = {}

    async def execute(self, context, queue):
        text = context.get_user_input()
        word, _, rest = text.partition(" ")
        ids = {"task_id": context.task_id, "context_id": context.context_id}
        self.asked[context.context_id] = self.asked.get(context.context_id, 0) + 1
        if word == "direct":
            answer = agent_message(f"{ME}: {rest}", context_id=context.context_id)
            await queue.enqueue_event(answer)
            return
        updater = TaskUpdater(queue, **ids)
        if context.current_task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            task = Task(
                id=context.task_id,
                context_id=context.context_id,
                status=status,
                history=[context.message],
            )
            await queue.enqueue_event(task)
        else:
            await self.answer(updater, f"you said {text}")
            return
        await updater.start_work(agent_message("looking", **ids))
        if word == "which":
            await updater.requires_input(agent_message("which one?", **ids))
        elif word == "fail":
            await updater.failed(agent_message("it broke", **ids))
        elif word == "count":
            for n in range(1, int(rest) + 1):
                await updater.add_artifact(
                    [Part(text=f"{n} ")],
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
        await updater.add_artifact([Part(text=text)], name="answer", last_chunk=True)
        await updater.complete()

    async def cancel(self, context, queue):
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


def interfaces(bindings, compat, grpc_port):
    """What the card lists, in order of preference."""
    here = URL.removeprefix("http://").rpartition(":")[0]
    places = {
        "JSONRPC": f"{URL}/a2a/jsonrpc",
        "HTTP+JSON": f"{URL}/a2a/rest",
        "GRPC": f"{here}:{grpc_port}",
    }
    for binding in bindings:
        for version in ["1.0", "0.3"] if compat and binding != "GRPC" else ["1.0"]:
            yield AgentInterface(
                url=places[binding], protocol_binding=binding, protocol_version=version
            )


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bindings", default="JSONRPC,HTTP+JSON")
    parser.add_argument("--compat", action="store_true")
    args = parser.parse_args()
    bindings = args.bindings.split(",")
    grpc_server, grpc_port = None, 0
    if "GRPC" in bindings:
        # A port of the kernel's choice: it cannot be the one of HTTP.
        grpc_server = grpc.aio.server()
        grpc_port = grpc_server.add_insecure_port(f"{HOST}:0")
    card = AgentCard(
        name=os.environ["AGENT_ID"],
        description="an agent on the official Python SDK",
        version="1.0.0",
        supported_interfaces=list(interfaces(bindings, args.compat, grpc_port)),
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="echo", name="Echo", description="says it again", tags=["echo"])],
    )
    handler = DefaultRequestHandler(
        agent_executor=Executor(), task_store=InMemoryTaskStore(), agent_card=card
    )
    routes = create_agent_card_routes(agent_card=card)
    compat = {"enable_v0_3_compat": args.compat}
    if "JSONRPC" in bindings:
        routes += create_jsonrpc_routes(handler, rpc_url="/a2a/jsonrpc", **compat)
    if "HTTP+JSON" in bindings:
        routes += create_rest_routes(handler, path_prefix="/a2a/rest", **compat)
    if grpc_server:
        a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), grpc_server)
        await grpc_server.start()
    config = uvicorn.Config(
        Starlette(routes=routes),
        host=HOST,
        port=PORT,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    print(f"listening on {HOST} port {PORT}", flush=True)
    await uvicorn.Server(config).serve()
    if grpc_server:
        await grpc_server.stop(0)


asyncio.run(main())
