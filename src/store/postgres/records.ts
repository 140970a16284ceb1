// The record store on a database that speaks PostgreSQL's SQL.

import type { RecordStore } from '../records.ts'
import type { Db } from './db.ts'
import { makeFleetRecords } from './fleet-records.ts'
import { guardDb } from './guarded-db.ts'
import { makeIdempotencyKeys } from './idempotency.ts'
import { makeJobReports } from './job-reports.ts'
import { makeLedger } from './ledger.ts'
import { migrate } from './migrate.ts'
import { queries } from './queries.ts'
import { makeRestrictionRecords } from './restrictions.ts'
import { makeSyncReports } from './sync-reports.ts'
import { makeUpstreamClaims } from './upstream-claims.ts'
import { makeUpstreamRecords } from './upstreams.ts'

/**
 * Closes the database with itself.
 * @param fleet  fleets share a database without seeing each other. `[a-z0-9-]{1,32}`
 */
export function makeRecordStore({ db, fleet }: { db: Db; fleet: string }): RecordStore {
  const parts = { db: guardDb(db, fleet), fleet }
  return {
    fleet: makeFleetRecords(parts),
    upstreams: makeUpstreamRecords(parts),
    restrictions: makeRestrictionRecords(parts),
    ledger: makeLedger(parts),
    keys: makeIdempotencyKeys(parts),
    reports: makeJobReports(parts),
    claims: makeUpstreamClaims(parts),
    syncs: makeSyncReports(parts),
    async migrate() {
      await migrate(db)
      await db.query(queries['add-fleet'], [fleet])
    },
    async ping() {
      await db.query(queries.ping)
    },
    close: () => db.close(),
  }
}
