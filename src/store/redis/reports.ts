// What jobs say of their upstreams, in a hash until a control has written it down.

import type { Job } from '../../types.ts'
import type { StoreLimits } from '../limits.ts'
import type { Reports, WaitingReport } from '../store.ts'
import type { RedisClient } from './client.ts'
import { recordFormat, refuseUnreadable } from './format.ts'
import type { Keys } from './keys.ts'
import type { Scripts } from './scripts.ts'

type ReportRecord = { f: number; at: number; job: Job; upstream: string | null; outcome: string }

type Parts = {
  readonly client: RedisClient
  readonly scripts: Scripts
  readonly keys: Keys
  readonly limits: StoreLimits
}

export function makeRedisReports({ client, scripts, keys, limits }: Parts): Reports {
  return {
    async add({ id, job, upstream, outcome }) {
      const report = JSON.stringify({ f: recordFormat, job, upstream, outcome })
      const { waitingReports } = limits
      return (await scripts.run('add-report', keys, { id, report, waitingReports })) === 1
    },

    async waiting(limit) {
      // A scan of a hash that has become small may answer nothing for long; this answers some as long as there are any.
      const pairs = await client.ask((redis) => redis.hrandfield(keys.reports, limit, 'WITHVALUES'))
      return idsAndTexts(pairs).map(([id, text]) => reportOf(id, text))
    },

    async remove(ids) {
      if (ids.length > 0) await client.ask((redis) => redis.hdel(keys.reports, ...ids))
    },
  }
}

/** RESP3 answers pairs, RESP2 one flat list. */
function idsAndTexts(reply: unknown): [string, string][] {
  const flat = (reply as unknown[]).flat() as string[]
  return flat.flatMap((id, index) => (index % 2 === 0 ? [[id, flat[index + 1]!] as [string, string]] : []))
}

function reportOf(id: string, text: string): WaitingReport {
  const { f, at, job, upstream, outcome } = JSON.parse(text) as ReportRecord
  refuseUnreadable('job report', f)
  return { id, job, upstream, outcome, atMs: at }
}
