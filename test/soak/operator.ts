// A person at the admin API who cannot leave the fleet alone: drains, deletions, quarantines, rules. A request that got no
// answer is made again with the same key, and so are some that did.

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { AdminRecord } from '../checker/records.ts'
import { nowMs } from '../fixtures/recorded-client.ts'
import type { Random } from '../fuzz/random.ts'
import type { KeptProcess } from './kept-process.ts'

export const fleetSize = 5
const patienceMs = 5000
const triesMost = 20

type Answer = { readonly status: number; readonly body: unknown }
type Listed = {
  readonly id: string
  readonly state: string
  readonly quarantined: boolean
  readonly ejected: boolean
}

export type Operator = ReturnType<typeof makeOperator>

type Parts = {
  readonly controls: readonly Pick<KeptProcess, 'adminPort'>[]
  readonly random: Random
  readonly write: (record: AdminRecord) => void
}

export function makeOperator({ controls, random, write }: Parts) {
  const rules: string[] = []

  async function once(
    method: string,
    path: string,
    body: unknown,
    key: string | null,
  ): Promise<Answer | null> {
    const sentMs = nowMs()
    const asks = `${method} ${path} ${JSON.stringify(body ?? null)}`
    let answer: Answer | null = null
    let said: string | null = null
    try {
      const { adminPort } = random.pick(controls)
      const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
        method,
        signal: AbortSignal.timeout(patienceMs),
        headers: {
          connection: 'close',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(key !== null && { 'idempotency-key': key }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      said = await response.text()
      answer = { status: response.status, body: said === '' ? null : (JSON.parse(said) as unknown) }
    } catch {
      // No answer, or half of one.
    }
    if (key !== null) write({ key, asks, sentMs, status: answer?.status ?? null, answer: said })
    return answer
  }

  /** @returns null where it was refused, or never answered */
  async function change(method: string, path: string, body?: unknown): Promise<unknown> {
    const key = randomUUID()
    for (let tries = 0; tries < triesMost; tries += 1) {
      const answer = await once(method, path, body, key)
      const comeAgain = !answer || answer.status >= 500 || answer.status === 429
      if (!comeAgain && answer.status !== 409) {
        if (random.chance(0.3)) await once(method, path, body, key)
        return answer.status < 300 ? answer.body : null
      }
      if (answer?.status === 409 && (answer.body as { code?: string }).code !== 'idempotency_in_flight')
        return null
      await delay(200 * (tries + 1))
    }
    return null
  }

  async function look(path: string): Promise<unknown> {
    for (let tries = 0; tries < 60; tries += 1) {
      const answer = await once('GET', path, undefined, null)
      if (answer?.status === 200) return answer.body
      await delay(500)
    }
    throw new Error(`GET ${path}: no answer`)
  }

  async function upstreams(query = ''): Promise<readonly Listed[]> {
    return ((await look(`/v1/upstreams?limit=1000${query}`)) as { items: readonly Listed[] }).items
  }

  async function anyRunning(): Promise<string | null> {
    const running = (await upstreams()).filter(
      ({ state, quarantined }) => state === 'running' && !quarantined,
    )
    return running.length > 2 ? random.pick(running).id : null
  }

  const acts: { readonly [name: string]: (id: string) => Promise<void> } = {
    /** The fleet's wanted size makes another in its place. */
    async replace(id) {
      await change('POST', `/v1/upstreams/${id}/recycle`)
    },
    async drain(id) {
      await change('POST', `/v1/upstreams/${id}/drain`)
      await delay(random.int(4000))
      if (random.chance(0.5)) await change('POST', `/v1/upstreams/${id}/cancel`)
      else await remove(id)
    },
    remove,
    async quarantine(id) {
      await change('POST', `/v1/upstreams/${id}/quarantine`)
      await delay(random.int(4000))
      await change('POST', `/v1/upstreams/${id}/release`)
    },
    async deny(id) {
      const rule = { kind: 'deny', type: 'statement', institution: '*', upstreams: { ids: [id] } }
      const evict = random.chance(0.3) ? '?evict=true' : ''
      const made = (await change('POST', `/v1/restrictions${evict}`, rule)) as { id?: string } | null
      if (made?.id) rules.push(made.id)
      if (rules.length > 2) await change('DELETE', `/v1/restrictions/${rules.shift()}`)
    },
  }

  /** Taken out, and the size kept, so that another takes its place. */
  async function remove(id: string): Promise<void> {
    await change('DELETE', `/v1/upstreams/${id}`)
    await change('PUT', '/v1/fleet', { wanted: fleetSize })
  }

  return {
    look,
    upstreams,
    change,
    remove,

    /** One thing, whatever comes of it. @returns what was tried */
    async act(): Promise<string> {
      const name = random.pick(Object.keys(acts))
      const id = await anyRunning()
      if (id === null) return 'nothing'
      await acts[name]!(id)
      return `${name} ${id}`
    },
  }
}
