// Who has the keys of a fleet in a Redis Cluster: the primary of the one slot in which they all lie.

import type { Redis } from 'ioredis'
import type { RedisServer } from '../../redis-url.ts'
import { uniqueOf, type View } from './finding-connector.ts'

/** From, to, and the nodes that serve these slots, the primary first. @see https://redis.io/docs/latest/commands/cluster-slots/ */
export type SlotRange = readonly [from: number, to: number, ...nodes: [host: string | null, port: number][]]

/** @param key  any key of the fleet */
export async function askNode(redis: Redis, key: string, asked: RedisServer): Promise<View> {
  const [info, slot, ranges] = await Promise.all([
    redis.cluster('INFO'),
    redis.cluster('KEYSLOT', key),
    redis.cluster('SLOTS'),
  ])
  return clusterView({ asked, info: String(info), slot, ranges: ranges as unknown as SlotRange[] })
}

type Answers = {
  readonly asked: RedisServer
  readonly info: string
  readonly slot: number
  readonly ranges: readonly SlotRange[]
}

/** @throws Error with code CLUSTERDOWN where the node cannot know: it is cut off from most others, or nobody has the slot */
export function clusterView({ asked, info, slot, ranges }: Answers): View {
  const nodesOf = ([, , ...nodes]: SlotRange) =>
    // A node that does not know its own address, or may not say it, answers none: it is where we reached it.
    nodes.map(([host, port]) => ({ host: host === null || host === '' ? asked.host : host, port }))
  const range = ranges.find(([from, to]) => from <= slot && slot <= to)
  const primary = range && nodesOf(range)[0]
  if (/^cluster_state:fail/m.test(info) || primary === undefined || primary.host === '?')
    throw Object.assign(new Error('This node cannot tell who has our keys.'), { code: 'CLUSTERDOWN' })
  const others = uniqueOf(ranges.flatMap(nodesOf).filter(({ host }) => host !== '?'))
  return { primary, others, epoch: Number(/^cluster_current_epoch:(\d+)/m.exec(info)?.[1] ?? 0) }
}
