// One report per gateway, newest only, stamped with Redis's time.

import type { StoreLimits } from '../limits.ts'
import type { GatewayReport, Heartbeats, StoredReport } from '../store.ts'
import type { RedisClient } from './client.ts'
import { recordFormat, refuseUnreadable } from './format.ts'
import type { Keys } from './keys.ts'
import type { Scripts } from './scripts.ts'

type ReportRecord = GatewayReport & { f: number; at: number }

type Parts = {
  readonly client: RedisClient
  readonly scripts: Scripts
  readonly keys: Keys
  readonly limits: StoreLimits
}

export function makeRedisHeartbeats({ client, scripts, keys, limits }: Parts): Heartbeats {
  return {
    async beat({ id, version, tunnels, pins, listeners, beats = '' as const }) {
      const report = JSON.stringify({ f: recordFormat, id, version, tunnels, pins, listeners })
      const { reportKeptMs } = limits
      const reply = await scripts.run('beat', keys, { id, report, reportKeptMs, beats, feed: keys.feed })
      const [published, nowMs, others] = reply as [number, number, string[]]
      return { version: published, nowMs, others: others.map(reportOf) }
    },

    async signOff(gatewayId) {
      await client.ask((redis) => redis.hdel(keys.gateways, gatewayId))
    },

    async list() {
      const texts = await client.ask((redis) => redis.hvals(keys.gateways))
      return texts.map(reportOf)
    },
  }
}

function reportOf(text: string): StoredReport {
  const { f, at, id, version, tunnels, pins, listeners } = JSON.parse(text) as ReportRecord
  refuseUnreadable('gateway report', f)
  return { id, version, tunnels, pins, sentAtMs: at, ...(listeners && { listeners }) }
}
