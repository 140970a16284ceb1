// The local upstreams that this process answers for: its own, and those of processes that are no more.

import { endProcess, isRunning, ownMark } from './local-process.ts'
import type { LocalInstance, LocalRecord, LocalRecords } from './local-records.ts'
import type { LocalServer, StartServer } from './local-servers.ts'
import { ProviderError } from './provider.ts'

/** Without a port it gets a free one. */
export type PlannedInstance = Omit<LocalInstance, 'port'> & { readonly port: number | null }

type Parts = { readonly records: LocalRecords; readonly hostname: string; readonly graceMs: number }

export function makeLocalFleet({ records, hostname, graceMs }: Parts) {
  const own = new Map<string, { readonly server: LocalServer; readonly instance: LocalInstance }>()

  function isOthers({ instance, maker }: LocalRecord): boolean {
    return !own.has(instance.id) && isRunning(maker)
  }

  /** Ends it and forgets it. The record goes first: without it, a second call would take us for another process. */
  async function removeOwn(id: string, server: LocalServer, signal?: AbortSignal): Promise<void> {
    await server.end(signal)
    await records.remove(id)
    own.delete(id)
  }

  async function removeLeftover(id: string, signal?: AbortSignal): Promise<void> {
    const record = (await records.readAll()).find(({ instance }) => instance.id === id)
    if (record === undefined) return
    if (isOthers(record)) {
      throw new ProviderError(
        'unavailable',
        `"${id}" belongs to process ${record.maker.pid}, which still runs; stop that, or use another DATA_DIR.`,
      )
    }
    if (record.kind === 'tinyproxy') await endProcess(record.server, graceMs, signal)
    await records.remove(id)
  }

  async function remove(id: string, signal?: AbortSignal): Promise<void> {
    const made = own.get(id)
    return made ? removeOwn(id, made.server, signal) : removeLeftover(id, signal)
  }

  return {
    ids: () => [...own.keys()],
    remove,

    /** Of this process, and still there. */
    standing(id: string): LocalInstance | null {
      const made = own.get(id)
      return made?.server.mark && isRunning(made.server.mark) ? made.instance : null
    },

    /** Drops the records of upstreams that have ended by themselves. */
    async list(): Promise<LocalInstance[]> {
      const all = await records.readAll()
      const ended = all.filter(({ server }) => !isRunning(server))
      for (const { instance } of ended) await records.remove(instance.id)
      return all
        .filter((record) => !ended.includes(record) && !isOthers(record))
        .map(({ instance }) => instance)
    },

    /** Source addresses in use, those of other processes included. */
    async sources(): Promise<Set<string>> {
      const all = await records.readAll()
      return new Set(all.map(({ instance }) => instance.egressIp).filter((address) => address !== null))
    },

    /** Starts a server and answers once it takes connections; leaves nothing behind where it does not. */
    async add(planned: PlannedInstance, start: StartServer, signal: AbortSignal): Promise<LocalInstance> {
      const { id, egressIp } = planned
      records.makeFolder()
      const server = await start({
        port: planned.port,
        source: egressIp,
        configPath: records.pathOf(id, 'conf'),
        logPath: records.pathOf(id, 'log'),
      })
      const instance = { ...planned, port: server.port }
      own.set(id, { server, instance })
      try {
        // Before anything else is awaited: what has no record outlives a crash unseen.
        const { kind, mark } = server
        if (mark) records.write({ format: 1, hostname, instance, kind, server: mark, maker: ownMark() })
        await server.untilServing(signal)
        signal.throwIfAborted()
        return instance
      } catch (error) {
        await remove(id)
        throw error
      }
    },
  }
}
