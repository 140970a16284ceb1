// The five calls to Compute Engine that are needed: each with a time limit, our retries, and errors in our words.

import type { Labels } from '../types.ts'
import { loadGceClients, type CallOptions, type GceClients, type GceOperation } from './gce-clients.ts'
import { fromClient, GceError } from './gce-errors.ts'
import type { GceInstance } from './gce-instance.ts'
import { retrying, type Delay } from './gce-retry.ts'

export type GceCallSettings = {
  readonly project: string
  /** Null is Google's. */
  readonly endpoint: string | null
  /** For one try of one call. */
  readonly callTimeoutMs: number
  readonly delay: Delay
  readonly random: () => number
}

export type GcePage = {
  readonly items: readonly GceInstance[]
  /** The token of the next page; null: this is the last. */
  readonly next: string | null
  /** The code of the warning that came with it. */
  readonly warning: string | null
}

export type GceInsert = {
  readonly name: string
  readonly zone: string
  readonly labels: Labels
  /** A full or partial URL. */
  readonly template: string
  readonly requestId: string
}

/** Reads may be repeated at will; what changes something is repeated under its request id, and soon left to the caller. */
const retries = { read: 4, write: 2 }
const pageSize = 500
/** The server holds a wait for two minutes. */
const longestWaitMs = 130_000

export type GceCalls = ReturnType<typeof makeGceCalls>

export function makeGceCalls({ project, endpoint, callTimeoutMs, delay, random }: GceCallSettings) {
  let loading: Promise<GceClients> | null = null

  /** Loaded once; what failed is tried again by the next call. */
  function clients(): Promise<GceClients> {
    loading ??= loadGceClients(endpoint).catch((error: unknown) => {
      loading = null
      throw error
    })
    return loading
  }

  async function call<T>(
    kind: keyof typeof retries,
    what: string,
    signal: AbortSignal | undefined,
    ask: (clients: GceClients, options: CallOptions) => Promise<T>,
    timeoutMs = callTimeoutMs,
  ): Promise<T> {
    signal?.throwIfAborted()
    const loaded = await clients()
    const once = async () => {
      signal?.throwIfAborted()
      try {
        return await ask(loaded, { timeout: timeoutMs, retry: null, ...(signal ? { signal } : {}) })
      } catch (error) {
        signal?.throwIfAborted()
        throw fromClient(error, what)
      }
    }
    return retrying(once, { retries: retries[kind], delay, random, signal })
  }

  return {
    async insert(wish: GceInsert, signal?: AbortSignal): Promise<GceOperation> {
      const { name, zone, labels, template, requestId } = wish
      const instanceResource = { name, labels }
      const request = { project, zone, requestId, sourceInstanceTemplate: template, instanceResource }
      const [operation] = await call('write', `make ${name} in ${zone}`, signal, (clients, options) =>
        clients.insert(request, options),
      )
      return operation
    },

    /** Null: there is no such machine. @param instance  a name or a number */
    remove(
      { zone, instance, requestId }: { zone: string; instance: string; requestId: string },
      signal?: AbortSignal,
    ): Promise<GceOperation | null> {
      const request = { project, zone, instance, requestId }
      return firstOrNull(() =>
        call('write', `delete ${instance} in ${zone}`, signal, (clients, options) =>
          clients.delete(request, options),
        ),
      )
    },

    /** Null: there is no such machine. @param instance  a name or a number */
    get(zone: string, instance: string, signal?: AbortSignal): Promise<GceInstance | null> {
      const request = { project, zone, instance }
      return firstOrNull(() =>
        call('read', `read ${instance} in ${zone}`, signal, (clients, options) =>
          clients.get(request, options),
        ),
      )
    },

    async page(
      { zone, filter, token }: { zone: string; filter: string; token: string | null },
      signal?: AbortSignal,
    ): Promise<GcePage> {
      const pageToken = token === null ? {} : { pageToken: token }
      const request = { project, zone, filter, maxResults: pageSize, ...pageToken }
      const [items, , { nextPageToken, warning }] = await call(
        'read',
        `list ${zone}`,
        signal,
        (clients, options) => clients.list(request, { ...options, autoPaginate: false }),
      )
      return {
        items: items ?? [],
        next: nextPageToken || null,
        warning: warning ? String(warning.code ?? '') : null,
      }
    },

    /** May answer before the operation is DONE. Null: the operation is forgotten. */
    wait(
      { zone, operation, atMostMs }: { zone: string; operation: string; atMostMs: number },
      signal?: AbortSignal,
    ): Promise<GceOperation | null> {
      const request = { project, zone, operation }
      const timeoutMs = Math.min(longestWaitMs, Math.max(callTimeoutMs, atMostMs))
      const ask = (clients: GceClients, options: CallOptions) => clients.wait(request, options)
      return firstOrNull(() => call('read', `wait for ${operation} in ${zone}`, signal, ask, timeoutMs))
    },
  }
}

async function firstOrNull<T>(ask: () => Promise<readonly [T]>): Promise<T | null> {
  try {
    return (await ask())[0]
  } catch (error) {
    if (error instanceof GceError && error.httpStatus === 404) return null
    throw error
  }
}
