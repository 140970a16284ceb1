// What the newest comparison of the provider's list with the records came to, for whoever asks at whichever control.

import type { SyncReport, SyncReports } from '../records.ts'
import type { Db } from './db.ts'
import { queries } from './queries.ts'

export function makeSyncReports({ db, fleet }: { db: Db; fleet: string }): SyncReports {
  return {
    async keep(report) {
      const startedAt = new Date(report.startedAtMs).toISOString()
      await db.query(queries['keep-sync-report'], [fleet, startedAt, JSON.stringify(report)])
    },

    async read() {
      const [row] = await db.query<{ report: SyncReport }>(queries['read-sync-report'], [fleet])
      return row?.report ?? null
    },
  }
}
