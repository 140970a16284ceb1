// The fleet as one thing: read at one moment, changed in one transaction. A change takes the fleet's row first and
// raises its version last:
//
//   lock the fleet -> read content -> decide -> steps -> ledger row -> kept answer -> version and ledger's hash
//
// The first makes changes follow each other over all processes, so that `decide` sees what stands and nothing deadlocks.

import type { ChangeRequest, FleetContent, FleetRecords, Outcome, Step } from '../records.ts'
import { applySteps } from './apply-steps.ts'
import type { Db, Statements } from './db.ts'
import { keepAnswer } from './idempotency.ts'
import { appendLedger } from './ledger.ts'
import { checkRaise, nextEviction, nextVersion } from './next-head.ts'
import { queries } from './queries.ts'
import { readHead } from './read-head.ts'
import { restrictionRecord, type RestrictionRow } from './restrictions.ts'
import { upstreamRecord, type UpstreamRow } from './upstreams.ts'

export function makeFleetRecords({ db, fleet }: { db: Db; fleet: string }): FleetRecords {
  return {
    read: () =>
      db.transaction(
        async (statements) => readContent(statements, fleet, await readHead(statements, fleet)),
        {
          isolation: 'repeatable read',
          readOnly: true,
        },
      ),

    async head() {
      const { nowMs: _, ...head } = await readHead(db, fleet)
      return head
    },

    change: (request) => db.transaction((statements) => change(statements, fleet, request)),
  }
}

async function change<T>(
  statements: Statements,
  fleet: string,
  { author, decide, keep }: ChangeRequest<T>,
): Promise<Outcome<T>> {
  const head = await readHead(statements, fleet, 'lock-fleet')
  const content = await readContent(statements, fleet, head)
  const { steps, answer } = decide(content)
  const next = steps.length === 0 ? null : await write(statements, fleet, { content, author, steps })
  const outcome = { version: (next ?? head).version, answer }
  if (keep) await keepAnswer(statements, fleet, keep.claim, keep.answer(outcome))
  if (next)
    await statements.query(queries['raise-version'], [fleet, next.version, next.hash, next.evictionAsked])
  return outcome
}

type Head = Awaited<ReturnType<typeof readHead>>

async function readContent(statements: Statements, fleet: string, head: Head): Promise<FleetContent> {
  // Not the deleted ones, from the first to the last.
  const upstreams = await statements.query<UpstreamRow>(queries['list-upstreams'], [fleet, null, null, null])
  const restrictions = await statements.query<RestrictionRow>(queries['list-restrictions'], [fleet, 0, null])
  return {
    ...head,
    upstreams: upstreams.map(upstreamRecord),
    restrictions: restrictions.map(restrictionRecord),
  }
}

type Change = Pick<ChangeRequest<unknown>, 'author'> & {
  readonly content: FleetContent
  readonly steps: readonly Step[]
}

/** All but the fleet's own row. @returns what is to stand there */
async function write(statements: Statements, fleet: string, { content, author, steps }: Change) {
  checkRaise(content, steps)
  const version = nextVersion(content.version, steps)
  await applySteps(steps, { statements, fleet, at: new Date(content.nowMs).toISOString() })
  const hash = await appendLedger(statements, fleet, {
    version,
    atMs: content.nowMs,
    actor: author.actor,
    reason: author.reason,
    steps,
    previousHash: content.ledgerHash,
  })
  return { version, hash, evictionAsked: nextEviction(content.evictionAsked, version, steps) }
}
