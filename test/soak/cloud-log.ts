// What control asks of the cloud, written down on its way: a proxy before the Compute Engine for tests.

import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { ProviderCall } from '../checker/records.ts'
import { listen, type Listening } from '../fixtures/listen.ts'
import { nowMs } from '../fixtures/recorded-client.ts'

export async function startCloudLog(
  endpoint: string,
  write: (call: ProviderCall) => void,
): Promise<Listening> {
  const { hostname, port } = new URL(endpoint)
  /** Machines by the cloud's number, which may stand for the name. */
  const names = new Map<string, string>()
  const nameOf = (call: Asked): Asked => {
    const { instance, incarnation } = call
    if (instance !== null && incarnation !== null) names.set(incarnation, instance)
    return { ...call, instance: instance === null ? null : (names.get(instance) ?? instance) }
  }
  const server = createServer((req, res) => {
    const fromMs = nowMs()
    void bodyOf(req).then((body) => {
      const { method, url: path, headers } = req
      const asked = httpRequest({ hostname, port, method, path, headers }, (answer) => {
        void bodyOf(answer).then((said) => {
          res.writeHead(answer.statusCode ?? 502, answer.headers).end(said)
          const call = callOf(method ?? '', path ?? '', body, { status: answer.statusCode ?? 0, said })
          if (call) write({ ...nameOf(call), fromMs, toMs: nowMs() })
        })
      })
      asked.on('error', () => res.destroy())
      asked.end(body)
    })
  })
  return listen(server)
}

type Asked = Omit<ProviderCall, 'fromMs' | 'toMs'>
type Answer = { readonly status: number; readonly said: string }

/** Null: a call that makes, deletes and lists nothing. */
function callOf(method: string, path: string, body: string, { status, said }: Answer): Asked | null {
  const url = new URL(path, 'http://cloud')
  const instance = /\/instances(?:\/([^/]+))?$/.exec(url.pathname)
  if (!instance || (method === 'GET' && instance[1])) return null
  const verb = ({ POST: 'create', DELETE: 'delete', GET: 'list' } as const)[method]
  if (!verb) return null
  const isOk = status < 300
  return {
    verb,
    instance: verb === 'create' ? String(read(body).name) : (instance[1] ?? null),
    requestId: url.searchParams.get('requestId'),
    incarnation: verb === 'create' && isOk ? String(read(said).targetId) : null,
    outcome: isOk ? 'ok' : 'failed',
  }
}

function read(text: string): { readonly [field: string]: unknown } {
  try {
    return JSON.parse(text) as { readonly [field: string]: unknown }
  } catch {
    return {}
  }
}

async function bodyOf(message: IncomingMessage): Promise<string> {
  return Buffer.concat(await message.toArray().catch(() => [])).toString()
}
