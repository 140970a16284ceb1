// Connects to a primary that has to be found: anew with each connect, and while connected it is looked whether another one
// took its place. Servers that may know are asked in turn until one does. So sentinels and a Cluster are to all else one
// server: pipelines, WAIT and time limits are those of one connection, and no command is sent around.
//
// The driver's own ways are not used: its Cluster would spread what belongs on one connection, and its sentinels write to
// stderr, heed the switches of others' primaries, and end the connection for good where one comes while they look.

import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import type { RedisServer } from '../../redis-url.ts'
import { PrimaryConnector } from './primary-connector.ts'

export type View = {
  readonly primary: RedisServer
  /** Whom else to ask next time: those of the URL may be gone by then. */
  readonly others: readonly RedisServer[]
  /** A view of a higher one is newer. */
  readonly epoch: number
}

export type Finder = {
  /** Those of the URL. Their names are resolved each time. */
  readonly servers: readonly RedisServer[]
  /** How they let us in. */
  readonly login: Pick<RedisOptions, 'username' | 'password' | 'tls'>
  /** What a server gets for its answer, connecting included. */
  readonly patienceMs: number
  /** @throws where this server cannot know */
  readonly ask: (redis: Redis, server: RedisServer) => Promise<View>
}

/** For an old primary that still answers us, but no longer those who choose. A stopped or demoted one is noticed at once. */
const lookEveryMs = 2000

export function findingConnector(finder: Finder): typeof PrimaryConnector {
  return class FindingConnector extends PrimaryConnector {
    #others: readonly RedisServer[] = []
    #epoch = 0
    #looks = 0
    #asked: Redis | null = null
    #nextLook: NodeJS.Timeout | undefined

    /** Where it throws, the connection ends; connection.ts tries again. */
    override async connect(
      ...args: Parameters<PrimaryConnector['connect']>
    ): ReturnType<PrimaryConnector['connect']> {
      clearTimeout(this.#nextLook)
      this.connecting = true
      const { primary } = await this.#look()
      if (!this.connecting) throw new Error('The connection was closed.')
      Object.assign(this.options, primary)
      const stream = await super.connect(...args)
      stream.once('close', () => clearTimeout(this.#nextLook))
      this.#lookLater()
      return stream
    }

    override disconnect(): void {
      clearTimeout(this.#nextLook)
      this.#asked?.disconnect()
      super.disconnect()
    }

    #lookLater(): void {
      const { stream } = this
      this.#nextLook = setTimeout(async () => {
        const view = await this.#look().catch(() => null)
        if (stream.destroyed || stream !== this.stream) return
        const isOther = view?.primary.host !== this.options.host || view?.primary.port !== this.options.port
        if (view !== null && isOther) stream.destroy()
        else this.#lookLater()
      }, lookEveryMs)
    }

    /** A server that is silent costs its patience, so each time another one comes first. */
    async #look(): Promise<View> {
      const all = uniqueOf([...finder.servers, ...this.#others])
      const first = this.#looks++ % all.length
      let older: View | null = null
      let why: unknown = new Error('The connection was closed.')
      for (const server of [...all.slice(first), ...all.slice(0, first)]) {
        if (!this.connecting) break
        const view = await this.#ask(server).catch((error: unknown) => {
          why = error
        })
        // What is older was overtaken, or all forgot what was; so it counts only where nobody knows better.
        if (view && view.epoch >= this.#epoch) return this.#keep(view)
        if (view && view.epoch >= (older?.epoch ?? 0)) older = view
      }
      if (older === null) throw why
      return this.#keep(older)
    }

    #keep(view: View): View {
      this.#others = view.others
      this.#epoch = view.epoch
      return view
    }

    async #ask(server: RedisServer): Promise<View> {
      const redis = new Redis({
        ...server,
        ...finder.login,
        commandTimeout: finder.patienceMs,
        connectTimeout: finder.patienceMs,
        disconnectTimeout: 0,
        retryStrategy: () => null,
        enableReadyCheck: false,
        protocol: 2,
        disableClientInfo: true,
      })
      this.#asked = redis
      /** A command is told only that there is no connection. */
      let lostBy: unknown = null
      redis.on('error', (error: unknown) => {
        lostBy = error
      })
      try {
        return await finder.ask(redis, server)
      } catch (error) {
        throw lostBy ?? error
      } finally {
        redis.disconnect()
      }
    }
  }
}

export function uniqueOf(servers: readonly RedisServer[]): readonly RedisServer[] {
  return [...new Map(servers.map((server) => [`${server.host} ${server.port}`, server])).values()]
}
