// The two ways to serve a local upstream, with one signature: a Tinyproxy process, or a proxy in this process.

import { startConnectProxy } from './local-connect-proxy.ts'
import type { Places } from './local-places.ts'
import { endProcess, markProcess, ownMark, type ProcessMark } from './local-process.ts'
import { startTinyproxy, untilServing } from './local-tinyproxy.ts'

export type LocalServer = {
  readonly kind: 'tinyproxy' | 'built-in'
  readonly port: number
  /** The process that serves; null where it has ended already, which `untilServing` explains. */
  readonly mark: ProcessMark | null
  /** @throws ProviderError unavailable; the signal's reason */
  readonly untilServing: (signal: AbortSignal) => Promise<void>
  /** Idempotent; resolves once it is gone. */
  readonly end: (signal?: AbortSignal) => Promise<void>
}

export type ServerWish = {
  /** Null takes a free one. */
  readonly port: number | null
  readonly source: string | null
  readonly configPath: string
  readonly logPath: string
}
export type StartServer = (wish: ServerWish) => Promise<LocalServer>

type TinyproxyOptions = {
  readonly command: string
  readonly maxClients: number
  readonly graceMs: number
  readonly host: string
  readonly places: Places
}

export function byTinyproxy({ command, maxClients, graceMs, host, places }: TinyproxyOptions): StartServer {
  return async ({ port, source, configPath, logPath }) => {
    const settings = {
      host,
      port: port === null ? await places.port() : await places.exactly(port),
      maxClients,
      bind: source,
      configPath,
      logPath,
    }
    const child = startTinyproxy(command, settings)
    const mark = markProcess(child.pid)
    return {
      kind: 'tinyproxy',
      port: settings.port,
      mark,
      untilServing: (signal) => untilServing(child, settings, signal),
      end: async (signal) => {
        if (mark) await endProcess(mark, graceMs, signal)
      },
    }
  }
}

export function byBuiltInProxy({ maxClients, host }: { maxClients: number; host: string }): StartServer {
  return async ({ port, source }) => {
    const proxy = await startConnectProxy({ host, port: port ?? 0, maxClients, localAddress: source })
    return {
      kind: 'built-in',
      port: proxy.port,
      mark: ownMark(),
      untilServing: async () => {},
      end: () => proxy.close(),
    }
  }
}
