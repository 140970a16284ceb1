// The fleet as published: one field of the hash `fleet`, beside its version.

import type { Restriction, Snapshot, Upstream } from '../../types.ts'
import type { Snapshots } from '../store.ts'
import type { RedisClient } from './client.ts'
import { recordFormat, refuseUnreadable } from './format.ts'
import type { Keys } from './keys.ts'
import type { Scripts } from './scripts.ts'

type SnapshotRecord = {
  f: number
  version: number
  ledgerHash?: string
  upstreams: readonly Upstream[]
  restrictions: readonly Restriction[]
}

type Parts = { readonly client: RedisClient; readonly scripts: Scripts; readonly keys: Keys }

export function makeRedisSnapshots({ client, scripts, keys }: Parts): Snapshots {
  return {
    async publish(snapshot) {
      const { version, upstreams } = snapshot
      const record: SnapshotRecord = { f: recordFormat, ...snapshot }
      const standing = await scripts.run('publish', keys, {
        version,
        snapshot: JSON.stringify(record),
        upstreams: JSON.stringify(upstreams.map(({ id }) => id)),
      })
      return standing as number
    },

    async version() {
      return Number((await client.ask((redis) => redis.hget(keys.fleet, 'version'))) ?? 0)
    },

    async read() {
      const text = await client.ask((redis) => redis.hget(keys.fleet, 'snapshot'))
      return text === null ? null : snapshotOf(text)
    },
  }
}

function snapshotOf(text: string): Snapshot {
  const { f, ...snapshot } = JSON.parse(text) as SnapshotRecord
  refuseUnreadable('snapshot', f)
  return snapshot
}
