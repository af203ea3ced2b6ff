// An agent on the official SDK for JavaScript, A2A 1.0. See ../README.md.
//
//     tsx agent.ts [JSONRPC,HTTP+JSON]
//
// Bindings in order of preference.

import express from 'express';
import {
  A2A_PROTOCOL_VERSION,
  AGENT_CARD_PATH,
  AgentCard,
  Message,
  Part,
  Role,
  TaskState,
} from '@a2a-js/sdk';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from '@a2a-js/sdk/client';
import {
  AgentEvent,
  AgentExecutor,
  DefaultRequestHandler,
  ExecutionEventBus,
  InMemoryTaskStore,
  RequestContext,
} from '@a2a-js/sdk/server';
import {
  UserBuilder,
  agentCardHandler,
  jsonRpcHandler,
  restHandler,
} from '@a2a-js/sdk/server/express';

const env = process.env;
const url = env.A2A_PUBLIC_URL!.replace(/\/$/, '');
const me = `${env.AGENT_ID}[${env.A2ARUN_INDEX}]@${env.A2ARUN_NODE}`;
const peers = (env.CONNECTED_AGENTS ?? '').split(',').filter((peer) => peer);

function part(value: string): Part {
  return {
    content: { $case: 'text', value },
    metadata: undefined,
    filename: '',
    mediaType: 'text/plain',
  };
}

function message(role: Role, text: string, taskId = '', contextId = ''): Message {
  return {
    role,
    messageId: crypto.randomUUID(),
    parts: [part(text)],
    taskId,
    contextId,
    extensions: [],
    metadata: undefined,
    referenceTaskIds: [],
  };
}

function textOf(parts: Part[]): string {
  return parts.map((p) => (p.content?.$case === 'text' ? p.content.value : '')).join('');
}

// Peers of A2A 0.3 as well.
const legacyCompat = { enabled: true };
const factory = new ClientFactory({
  transports: [
    new JsonRpcTransportFactory({ legacyCompat }),
    new RestTransportFactory({ legacyCompat }),
  ],
  cardResolver: new DefaultAgentCardResolver({ legacyCompat }),
});

async function tryAsk(peer: string, text: string): Promise<string> {
  try {
    return await ask(peer, text);
  } catch (error) {
    return `${peer}: ${error}`;
  }
}

async function ask(peer: string, text: string): Promise<string> {
  const client = await factory.createFromUrl(peer);
  const answer = await client.sendMessage({
    tenant: '',
    message: message(Role.ROLE_USER, text),
    configuration: undefined,
    metadata: undefined,
  } as never);
  const value = answer as unknown as {
    parts?: Part[];
    artifacts?: { parts: Part[] }[];
    payload?: { value: { parts?: Part[]; artifacts?: { parts: Part[] }[] } };
  };
  const found = value.payload?.value ?? value;
  return textOf(found.parts ?? (found.artifacts ?? []).flatMap((a) => a.parts));
}

class Executor implements AgentExecutor {
  private readonly asked = new Map<string, number>();

  cancelTask = async (): Promise<void> => {};

  async execute(context: RequestContext, bus: ExecutionEventBus): Promise<void> {
    const { taskId, contextId } = context;
    const text = textOf(context.userMessage.parts);
    const [word] = text.split(' ', 1);
    const rest = text.slice(word.length + 1);
    const count = (this.asked.get(contextId) ?? 0) + 1;
    this.asked.set(contextId, count);
    if (word === 'direct') {
      bus.publish(AgentEvent.message(message(Role.ROLE_AGENT, `${me}: ${rest}`, '', contextId)));
      return;
    }
    const status = (state: TaskState, said?: string) => {
      const words = said ? message(Role.ROLE_AGENT, said, taskId, contextId) : undefined;
      const timestamp = new Date().toISOString();
      bus.publish(
        AgentEvent.statusUpdate({
          taskId,
          contextId,
          status: { state, timestamp, message: words },
          metadata: undefined,
        }),
      );
    };
    const piece = (artifactId: string, value: string, append: boolean, lastChunk: boolean) =>
      bus.publish(
        AgentEvent.artifactUpdate({
          taskId,
          contextId,
          artifact: {
            artifactId,
            name: 'answer',
            description: '',
            parts: [part(value)],
            metadata: undefined,
            extensions: [],
          },
          append,
          lastChunk,
          metadata: undefined,
        }),
      );
    const answer = (value: string) => {
      piece('answer', value, false, true);
      status(TaskState.TASK_STATE_COMPLETED);
    };
    const before = context.task;
    bus.publish(
      AgentEvent.task(
        before ?? {
          id: taskId,
          contextId,
          status: {
            state: TaskState.TASK_STATE_SUBMITTED,
            timestamp: new Date().toISOString(),
            message: undefined,
          },
          artifacts: [],
          history: [context.userMessage],
          metadata: undefined,
        },
      ),
    );
    if (before) {
      answer(`you said ${text}`);
      return;
    }
    status(TaskState.TASK_STATE_WORKING, 'looking');
    switch (word) {
      case 'which':
        status(TaskState.TASK_STATE_INPUT_REQUIRED, 'which one?');
        break;
      case 'fail':
        status(TaskState.TASK_STATE_FAILED, 'it broke');
        break;
      case 'count':
        for (let n = 1; n <= Number(rest); n++) {
          piece('numbers', `${n} `, n > 1, n === Number(rest));
        }
        status(TaskState.TASK_STATE_COMPLETED);
        break;
      case 'again':
        answer(`question ${count}`);
        break;
      case 'ask-peers':
        answer((await Promise.all(peers.map((peer) => tryAsk(peer, 'hello')))).join('\n'));
        break;
      default:
        answer(`${me}: ${text}`);
    }
  }
}

const paths: Record<string, string> = { JSONRPC: '/a2a/jsonrpc', 'HTTP+JSON': '/a2a/rest' };
const bindings = (process.argv[2] ?? 'JSONRPC,HTTP+JSON').split(',');
const card: AgentCard = {
  name: env.AGENT_ID!,
  description: 'an agent on the official SDK for JavaScript',
  supportedInterfaces: bindings.map((protocolBinding) => ({
    url: url + paths[protocolBinding],
    protocolBinding,
    tenant: '',
    protocolVersion: A2A_PROTOCOL_VERSION,
  })),
  provider: undefined,
  version: '1.0.0',
  capabilities: {
    streaming: true,
    pushNotifications: false,
    extensions: [],
    extendedAgentCard: false,
  },
  securitySchemes: {},
  securityRequirements: [],
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [
    {
      id: 'echo',
      name: 'Echo',
      description: 'says it again',
      tags: ['echo'],
      examples: [],
      inputModes: [],
      outputModes: [],
      securityRequirements: [],
    },
  ],
  documentationUrl: '',
  signatures: [],
};
const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor());
const userBuilder = UserBuilder.noAuthentication;
const app = express();
app.use(`/${AGENT_CARD_PATH}`, agentCardHandler({ agentCardProvider: requestHandler }));
app.use(paths.JSONRPC, jsonRpcHandler({ requestHandler, userBuilder }));
app.use(paths['HTTP+JSON'], restHandler({ requestHandler, userBuilder }));
const server = app.listen(Number(env.PORT), env.A2A_BIND_HOST!, () => {
  console.log(`listening on ${env.A2A_BIND_HOST} port ${env.PORT}`);
});
process.on('SIGTERM', () => {
  server.closeAllConnections();
  server.close(() => process.exit(0));
});
