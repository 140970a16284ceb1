// The admin API, as a program of an operator would use it: plain HTTP, an Idempotency-Key for each change, and what is
// not to be had at the moment (503) is asked for again, under the same key.

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'

/** What is read of it here; `lanekeeper upstreams show ID --json` has the rest. */
export type Upstream = {
  readonly id: string
  readonly state: string
  readonly zone: string | null
  readonly host: string | null
  readonly port: number | null
  readonly egressIp: string | null
  readonly ejected: boolean
  readonly pins: number | null
  readonly tunnels: number | null
  readonly problem: string | null
  readonly drain: {
    readonly drainedAt: string | null
    readonly shut: { readonly pins: number; readonly tunnels: number } | null
  } | null
}

export type SyncReport = {
  readonly pass: string
  readonly outcome: string
  readonly listed: number
  readonly recorded: number
  readonly problems: readonly string[]
  readonly corrected: readonly { readonly id: string; readonly action: string; readonly detail: string }[]
  readonly left: readonly { readonly id: string; readonly detail: string }[]
}

export type LedgerEntry = {
  readonly version: number
  readonly actor: string
  readonly reason: string | null
  readonly steps: readonly LedgerStep[]
}

export type LedgerStep = {
  readonly kind: string
  readonly id?: string
  readonly upstream?: Pick<Upstream, 'id' | 'zone'>
  readonly by?: string
  readonly from?: unknown
  readonly to?: unknown
}

export type LedgerCheck =
  | { readonly ok: true; readonly entries: number; readonly version: number }
  | { readonly ok: false; readonly version: number; readonly problem: string }

const answerWithinMs = 30_000
const askAgainMs = 500

export type AdminApi = ReturnType<typeof makeAdminApi>

/** Its calls throw Error, with the API's own words where it has any; and the signal's reason. */
export function makeAdminApi(adminPort: number, signal: AbortSignal) {
  async function call<T>(method: string, path: string): Promise<T> {
    const key = { 'idempotency-key': randomUUID(), 'x-actor': 'demo' }
    const untilMs = performance.now() + answerWithinMs
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
        method,
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]),
        headers: method === 'GET' ? {} : key,
      })
      const text = await answer.text()
      if (answer.ok) return JSON.parse(text) as T
      if (answer.status !== 503 || performance.now() > untilMs)
        throw new Error(`${method} ${path} was answered ${answer.status}: ${text}`)
      await delay(askAgainMs, undefined, { signal })
    }
  }

  const why = (reason: string) => `?reason=${encodeURIComponent(reason)}`

  return {
    /** Without the deleted ones. */
    upstreams: async () => (await call<{ items: readonly Upstream[] }>('GET', '/v1/upstreams')).items,
    upstream: (id: string) => call<Upstream>('GET', `/v1/upstreams/${id}`),
    drain: (id: string, reason: string) => call<Upstream>('POST', `/v1/upstreams/${id}/drain${why(reason)}`),
    remove: (id: string, reason: string) => call<Upstream>('DELETE', `/v1/upstreams/${id}${why(reason)}`),
    /** How many upstreams the published fleet has for a job that names no lane. */
    eligible: async () => (await call<{ eligible: readonly string[] }>('GET', '/v1/explain')).eligible.length,
    wanted: async () => (await call<{ wanted: number | null }>('GET', '/v1/fleet')).wanted,
    /** Of the last pass. */
    sync: () => call<SyncReport>('GET', '/v1/sync'),
    /** The newest first. */
    ledger: async (limit: number) =>
      (await call<{ items: readonly LedgerEntry[] }>('GET', `/v1/ledger?limit=${limit}`)).items,
    verifyLedger: () => call<LedgerCheck>('GET', '/v1/ledger/verify'),
  }
}
