// Upstreams on this machine: a real Tinyproxy process each where the program is installed, else a small
// CONNECT proxy inside this process. They live as long as this process does; what a crash left running is
// listed, so that the next process can delete it. The upstreams of another process that runs now are hidden.

import { hostname as ownHostname } from 'node:os'
import { makeLocalFleet } from './local-fleet.ts'
import { makePlaces } from './local-places.ts'
import { openLocalRecords } from './local-records.ts'
import { byBuiltInProxy, byTinyproxy, type StartServer } from './local-servers.ts'
import { hasTinyproxy } from './local-tinyproxy.ts'
import { ProviderError, type CreateRequest, type Instance, type Provider } from './provider.ts'

export type LocalProviderSettings = {
  readonly dataDir: string
  /** A source address 127.0.x.y for each, so that targets on loopback can tell them apart. Linux only. */
  readonly sourceAddresses: boolean
  /** `auto`: real processes where the program is found on PATH. */
  readonly tinyproxy: 'auto' | 'never'
  /** Connections that each serves at once. */
  readonly maxClients: number
  readonly tinyproxyCommand?: string
  readonly hostname?: string
  /** From 0 up to, not including, 1. */
  readonly random?: () => number
  /** From SIGTERM to SIGKILL. */
  readonly graceMs?: number
}

const host = '127.0.0.1'
const nameGrammar = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/
/** A port may be taken between choosing it and listening on it. */
const tries = 3

export function makeLocalProvider(settings: LocalProviderSettings): Provider {
  const { dataDir, sourceAddresses, hostname = ownHostname(), graceMs = 2000 } = settings
  const places = makePlaces({ host, random: settings.random })
  const records = openLocalRecords({ dataDir, hostname })
  const fleet = makeLocalFleet({ records, hostname, graceMs })
  const creating = new Set<Promise<unknown>>()
  const closing = new AbortController()
  let starter: Promise<StartServer> | null = null

  async function chooseStarter(): Promise<StartServer> {
    const { tinyproxy, tinyproxyCommand: command = 'tinyproxy', maxClients } = settings
    const found = tinyproxy === 'auto' && (await hasTinyproxy(command))
    return found
      ? byTinyproxy({ command, maxClients, graceMs, host, places })
      : byBuiltInProxy({ maxClients, host })
  }

  async function create({ name, labels }: CreateRequest, signal: AbortSignal): Promise<Instance> {
    refuseUnusable(name, sourceAddresses)
    const start = await (starter ??= chooseStarter())
    const egressIp = sourceAddresses ? places.source(await fleet.sources()) : null
    const planned = { name, host, port: null, egressIp, labels: { ...labels, name }, credentials: null }
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted()
      try {
        return await fleet.add({ ...planned, id: places.id(name) }, start, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof ProviderError) || error.code !== 'unavailable' || attempt === tries)
          throw error
      }
    }
  }

  /** One life of one egress IP: where the setting now wants another kind of address, it cannot be the same. */
  async function resume(instance: Instance, signal: AbortSignal): Promise<Instance> {
    if (sourceAddresses !== (instance.egressIp !== null)) {
      const why = 'local.sourceAddresses has changed since'
      throw new ProviderError('unavailable', `"${instance.id}" cannot start again: ${why}.`)
    }
    refuseUnusable(instance.name, sourceAddresses)
    const labels = { ...instance.labels, name: instance.name }
    return fleet.add({ ...instance, labels }, await (starter ??= chooseStarter()), signal)
  }

  /** Known to `close`, which waits for it and ends what it made. */
  function making(work: (signal: AbortSignal) => Promise<Instance>, signal?: AbortSignal): Promise<Instance> {
    const made = translated(() => work(AbortSignal.any(signal ? [closing.signal, signal] : [closing.signal])))
    const done = () => creating.delete(made)
    creating.add(made)
    made.then(done, done)
    return made
  }

  return {
    name: 'local',
    place: () => translated(() => records.folderId()),

    list: (signal) =>
      translated(async () => {
        signal?.throwIfAborted()
        return fleet.list()
      }),

    create: (request, signal) => making((either) => create(request, either), signal),
    resume: (instance, signal) => making((either) => resume(instance, either), signal),

    delete: (id, signal) => translated(() => fleet.remove(id, signal)),

    async close() {
      closing.abort(new ProviderError('unavailable', 'The provider local is closed.'))
      await Promise.allSettled(creating)
      const ends = await Promise.allSettled(fleet.ids().map((id) => translated(() => fleet.remove(id))))
      const failed = ends.find((end) => end.status === 'rejected')
      if (failed) throw failed.reason
    },
  }
}

function refuseUnusable(name: string, sourceAddresses: boolean): void {
  if (!nameGrammar.test(name)) {
    throw new ProviderError(
      'unavailable',
      `"${name}" is no name for an upstream; use letters, digits and . _ -`,
    )
  }
  if (sourceAddresses && process.platform !== 'linux') {
    const why = 'other systems have no address 127.0.x.y but 127.0.0.1'
    throw new ProviderError('unavailable', `local.sourceAddresses needs Linux (${why}); turn it off.`)
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
