// Upstreams on this machine: a real Tinyproxy process each where the program is installed, else a small
// CONNECT proxy inside this process. They live as long as this process does; what a crash left running is
// listed, so that the next process can delete it. The upstreams of another process that runs now are hidden.

import { hostname as ownHostname } from 'node:os'
import type { Labels } from '../types.ts'
import { makeLocalFleet, type PlannedInstance } from './local-fleet.ts'
import { makePlaces } from './local-places.ts'
import { openLocalRecords, type LocalInstance } from './local-records.ts'
import { byBuiltInProxy, byTinyproxy, type StartServer } from './local-servers.ts'
import { hasTinyproxy } from './local-tinyproxy.ts'
import { makeTurns } from './local-turns.ts'
import {
  isProviderError,
  ProviderError,
  type CreateOrder,
  type Draft,
  type DraftRequest,
  type Instance,
  type Provider,
} from './provider.ts'

export type LocalProviderSettings = {
  readonly dataDir: string
  /** A source address 127.0.x.y for each, so that targets on loopback can tell them apart. Linux only. */
  readonly sourceAddresses: boolean
  /** `auto`: real processes where the program is found on PATH. */
  readonly tinyproxy: 'auto' | 'never'
  /** Connections that each serves at once. */
  readonly maxClients: number
  /** Of `local-1`, `local-2`, ... */
  readonly labels: readonly Labels[]
  readonly tinyproxyCommand?: string
  readonly hostname?: string
  /** From 0 up to, not including, 1. */
  readonly random?: () => number
  /** Wall clock. */
  readonly now?: () => number
  /** From SIGTERM to SIGKILL. */
  readonly graceMs?: number
}

const host = '127.0.0.1'
const nameGrammar = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/
const idGrammar = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
/** A port may be taken between choosing it and listening on it. */
const tries = 3

export function makeLocalProvider(settings: LocalProviderSettings): Provider {
  const { dataDir, sourceAddresses, hostname = ownHostname(), now = Date.now, graceMs = 2000 } = settings
  const places = makePlaces({ host, random: settings.random })
  const records = openLocalRecords({ dataDir, hostname })
  const fleet = makeLocalFleet({ records, hostname, graceMs })
  const turns = makeTurns()
  const closing = new AbortController()
  let starter: Promise<StartServer> | null = null

  async function chooseStarter(): Promise<StartServer> {
    const { tinyproxy, tinyproxyCommand: command = 'tinyproxy', maxClients } = settings
    const found = tinyproxy === 'auto' && (await hasTinyproxy(command))
    return found
      ? byTinyproxy({ command, maxClients, graceMs, host, places })
      : byBuiltInProxy({ maxClients, host })
  }

  async function add(planned: PlannedInstance, signal: AbortSignal): Promise<LocalInstance> {
    return fleet.add(planned, await (starter ??= chooseStarter()), signal)
  }

  async function create({ id, name, labels }: CreateOrder, signal: AbortSignal): Promise<LocalInstance> {
    refuseUnusable({ id, name }, sourceAddresses)
    const standing = fleet.standing(id)
    if (standing) return standing
    // Left by a process that could not clean up, or ended by itself.
    await fleet.remove(id, signal)
    const egressIp = sourceAddresses ? places.source(await fleet.sources()) : null
    const credentials = null
    const planned = { id, name, host, port: null, egressIp, labels: { ...labels, name }, credentials }
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await add({ ...planned, createdAtMs: now() }, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (!isProviderError(error, 'unavailable') || attempt === tries) throw error
      }
    }
  }

  /** One life of one egress IP: where the setting now wants another kind of address, it cannot be the same. */
  async function resume(instance: Instance, signal: AbortSignal): Promise<LocalInstance> {
    const { id, name, port, egressIp, credentials, createdAtMs } = instance
    if (sourceAddresses !== (egressIp !== null)) {
      const why = 'local.sourceAddresses has changed since'
      throw new ProviderError('refused', `"${id}" cannot start again: ${why}.`)
    }
    refuseUnusable(instance, sourceAddresses)
    // The configuration of today, as far as it says something.
    const labels = { ...instance.labels, ...configuredLabels(settings.labels, name), name }
    return add({ id, name, host: instance.host, port, egressIp, labels, credentials, createdAtMs }, signal)
  }

  /** One after the other for the same id. Known to `close`, which waits for it and ends what it made. */
  function making(
    { id, zone }: Pick<Instance, 'id' | 'zone'>,
    make: (signal: AbortSignal) => Promise<LocalInstance>,
    signal?: AbortSignal,
  ): Promise<Instance> {
    const either = AbortSignal.any(signal ? [closing.signal, signal] : [closing.signal])
    return turns.take(id, () =>
      here(zone, async (place) => {
        either.throwIfAborted()
        try {
          return answerOf(await make(either), place)
        } catch (error) {
          // What was cut short says so in many ways; the reason is one.
          either.throwIfAborted()
          throw error
        }
      }),
    )
  }

  /** What another folder holds is not known here: neither that it is there, nor that it is gone. */
  function here<T>(zone: string | null, work: (place: string) => Promise<T>): Promise<T> {
    return translated(async () => {
      const place = await records.folderId()
      if (zone === null || zone === place) return work(place)
      throw new ProviderError('refused', `"${zone}" is another data folder; this one is "${place}".`)
    })
  }

  const listed = (signal: AbortSignal | undefined, zone: string | null = null) =>
    here(zone, async (place) => {
      signal?.throwIfAborted()
      return (await fleet.list()).map((instance) => answerOf(instance, place))
    })

  return {
    name: 'local',
    zones: [],
    place: () => translated(() => records.folderId()),

    /** Its zone, the folder's own id, is filled in by whoever has asked for `place`. */
    draft: (request) => draftOf(request, settings.labels),

    list: async (signal) => ({ instances: await listed(signal), problems: [] }),

    async read({ id, zone, incarnation }, signal) {
      const found = (await listed(signal, zone)).find((instance) => instance.id === id)
      return incarnation === null ? (found ?? null) : null
    },

    create: (order, signal) => making(order, (either) => create(order, either), signal),
    resume: (instance, signal) => making(instance, (either) => resume(instance, either), signal),

    delete: ({ id, zone, incarnation }, signal) =>
      turns.take(id, () =>
        here(zone, async () => {
          if (incarnation === null) await fleet.remove(id, signal)
        }),
      ),

    async close() {
      closing.abort(new ProviderError('unavailable', 'The provider local is closed.'))
      await turns.untilNone()
      const ends = await Promise.allSettled(fleet.ids().map((id) => translated(() => fleet.remove(id))))
      const failed = ends.find((end) => end.status === 'rejected')
      if (failed) throw failed.reason
    },
  }
}

function draftOf({ standing, labels, zone, suffix }: DraftRequest, configured: readonly Labels[]): Draft {
  if (zone !== null)
    throw new ProviderError('refused', `The provider local has no zones; leave "${zone}" out.`)
  const taken = new Set(standing.map(({ name }) => name))
  let name = 'local-1'
  for (let n = 2; taken.has(name); n += 1) name = `local-${n}`
  const all = { ...configuredLabels(configured, name), ...labels, name }
  return { id: `${name}-${suffix}`, name, zone: null, labels: all, credentials: null }
}

function configuredLabels(configured: readonly Labels[], name: string): Labels {
  return configured.find((_, index) => name === `local-${index + 1}`) ?? {}
}

function answerOf(instance: LocalInstance, zone: string): Instance {
  const { createdAtMs = null } = instance
  return { ...instance, zone, incarnation: null, status: 'running', createdAtMs }
}

function refuseUnusable({ id, name }: Pick<Instance, 'id' | 'name'>, sourceAddresses: boolean): void {
  // Both become parts of file names.
  const unusable = nameGrammar.test(name) ? (idGrammar.test(id) ? null : id) : name
  if (unusable !== null) {
    throw new ProviderError(
      'refused',
      `"${unusable}" is no name for an upstream; use letters, digits and . _ -`,
    )
  }
  if (sourceAddresses && process.platform !== 'linux') {
    const why = 'other systems have no address 127.0.x.y but 127.0.0.1'
    throw new ProviderError('refused', `local.sourceAddresses needs Linux (${why}); turn it off.`)
  }
}

/** What the system refuses (a folder, a socket, a signal) in our words; an abort stays what it is. */
async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException
    if (error instanceof ProviderError || syscall === undefined) throw error
    throw new ProviderError('unavailable', `This machine refused: ${message}.`, { cause: error })
  }
}
