// Connects to one node of a Redis Cluster: the primary of the slot in which all keys of our fleet lie. So a Cluster is to
// us one server that has to be found, and found anew with each connect: pipelines, WAIT and time limits are those of one
// connection, and no command is sent around. Nodes are asked in turn until one knows.

import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import type { RedisServer } from '../../redis-url.ts'
import { PrimaryConnector } from './primary-connector.ts'

type SlotOptions = {
  /** Those of the URL. Their names are resolved each time. */
  readonly servers: readonly RedisServer[]
  /** Any key of the fleet. */
  readonly key: string
  /** What a node gets for its answer, connecting included. */
  readonly patienceMs: number
  /** How nodes let us in. */
  readonly login: Pick<RedisOptions, 'username' | 'password' | 'tls'>
}

type View = { readonly owner: RedisServer; readonly nodes: readonly RedisServer[] }

export function slotConnector({ servers, key, patienceMs, login }: SlotOptions): typeof PrimaryConnector {
  return class SlotConnector extends PrimaryConnector {
    /** Of all nodes that were seen last, since those of the URL may be gone by now. */
    #nodes: readonly RedisServer[] = []
    #attempts = 0
    #asked: Redis | null = null

    /** Where it throws, the connection ends; connection.ts tries again. */
    override async connect(
      ...args: Parameters<PrimaryConnector['connect']>
    ): ReturnType<PrimaryConnector['connect']> {
      this.connecting = true
      const { owner, nodes } = await this.#look()
      this.#nodes = nodes
      if (!this.connecting) throw new Error('The connection was closed.')
      Object.assign(this.options, owner)
      return super.connect(...args)
    }

    override disconnect(): void {
      this.#asked?.disconnect()
      super.disconnect()
    }

    /** A node that is silent costs its patience, so each time another one comes first. */
    async #look(): Promise<View> {
      const all = uniqueOf([...this.#nodes, ...servers])
      const first = this.#attempts++ % all.length
      let why: unknown = null
      for (const node of [...all.slice(first), ...all.slice(0, first)]) {
        if (!this.connecting) break
        try {
          return await this.#ask(node)
        } catch (error) {
          why = error
        }
      }
      throw why ?? new Error('The connection was closed.')
    }

    async #ask(node: RedisServer): Promise<View> {
      const redis = new Redis({
        ...node,
        ...login,
        commandTimeout: patienceMs,
        connectTimeout: patienceMs,
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
        const [info, slot, ranges] = await Promise.all([
          redis.cluster('INFO'),
          redis.cluster('KEYSLOT', key),
          redis.cluster('SLOTS'),
        ])
        return viewOf(node, String(info), slot, ranges as unknown as SlotRange[])
      } catch (error) {
        throw lostBy ?? error
      } finally {
        redis.disconnect()
      }
    }
  }
}

/** From, to, and the nodes that serve these slots, the primary first. @see https://redis.io/docs/latest/commands/cluster-slots/ */
export type SlotRange = [from: number, to: number, ...nodes: [host: string | null, port: number][]]

/** @throws Error with code CLUSTERDOWN where the node cannot know: it is cut off from most others, or nobody has the slot */
export function viewOf(asked: RedisServer, info: string, slot: number, ranges: readonly SlotRange[]): View {
  const nodesOf = ([, , ...nodes]: SlotRange) =>
    // A node that does not know its own address, or may not say it, answers null: it is where we reached it.
    nodes.map(([host, port]) => ({ host: host === null || host === '' ? asked.host : host, port }))
  const range = ranges.find(([from, to]) => from <= slot && slot <= to)
  const owner = range && nodesOf(range)[0]
  if (/^cluster_state:fail/m.test(info) || owner === undefined || owner.host === '?')
    throw Object.assign(new Error('No node of the Cluster can tell who has our keys.'), {
      code: 'CLUSTERDOWN',
    })
  return { owner, nodes: uniqueOf(ranges.flatMap(nodesOf).filter(({ host }) => host !== '?')) }
}

function uniqueOf(servers: readonly RedisServer[]): readonly RedisServer[] {
  return [...new Map(servers.map((server) => [`${server.host} ${server.port}`, server])).values()]
}
