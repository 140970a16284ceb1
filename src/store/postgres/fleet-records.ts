// The fleet as one thing: read at one moment, changed in one transaction. A change takes the fleet's row first and
// raises its version last:
//
//   lock the fleet -> read content -> decide -> steps -> ledger row -> kept answer -> version, ledger's hash and sizes
//
// The first makes changes follow each other over all processes, so that `decide` sees what stands and nothing deadlocks.

import type {
  ChangeRequest,
  FleetContent,
  FleetRecords,
  Outcome,
  Step,
  UpstreamsContent,
} from '../records.ts'
import { applySteps } from './apply-steps.ts'
import type { Db, Statements } from './db.ts'
import { notThereYet } from './guarded-db.ts'
import { keepAnswer } from './idempotency.ts'
import { appendLedger } from './ledger.ts'
import { checkRaise, nextEviction, nextSizes, nextVersion } from './next-head.ts'
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

    change: (request) =>
      db.transaction((statements) =>
        change(statements, fleet, { ...request, read: (head) => readContent(statements, fleet, head) }),
      ),

    changeUpstreams: ({ ids, ...request }) =>
      db.transaction((statements) =>
        change(statements, fleet, { ...request, read: (head) => readSome(statements, fleet, { head, ids }) }),
      ),

    async storeSeen(identity) {
      const [row] = await db.query<SeenRow>(queries['store-seen'], [fleet, identity])
      if (!row) throw notThereYet(`it has no fleet "${fleet}"`)
      return { changedAtMs: row.changed_at?.getTime() ?? null, nowMs: row.now_ms }
    },
  }
}

type SeenRow = { readonly changed_at: Date | null; readonly now_ms: number }

type Head = Awaited<ReturnType<typeof readHead>>

/** A change of whatever `read` has read: the whole fleet, or some of it. */
type Request<T, Content> = Pick<ChangeRequest<T>, 'author' | 'keep'> & {
  readonly read: (head: Head) => Promise<Content>
  readonly decide: (content: Content) => ReturnType<ChangeRequest<T>['decide']>
}

async function change<T, Content>(
  statements: Statements,
  fleet: string,
  { author, read, decide, keep }: Request<T, Content>,
): Promise<Outcome<T>> {
  const head = await readHead(statements, fleet, 'lock-fleet')
  const { steps, answer } = decide(await read(head))
  const next = steps.length === 0 ? null : await write(statements, fleet, { head, author, steps })
  const outcome = { version: (next ?? head).version, answer }
  if (keep) await keepAnswer(statements, fleet, keep.claim, keep.answer(outcome))
  if (next) await statements.query(queries['raise-version'], [fleet, ...headRow(next)])
  return outcome
}

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

async function readSome(
  statements: Statements,
  fleet: string,
  { head, ids }: { head: Head; ids: readonly string[] },
): Promise<UpstreamsContent> {
  const upstreams = await statements.query<UpstreamRow>(queries['read-upstreams'], [fleet, ids])
  return { ...head, upstreams: upstreams.map(upstreamRecord) }
}

type Change = Pick<ChangeRequest<unknown>, 'author'> & {
  readonly head: Head
  readonly steps: readonly Step[]
}

type NextHead = Omit<Head, 'nowMs'>

/** All but the fleet's own row. @returns what is to stand there */
async function write(
  statements: Statements,
  fleet: string,
  { head, author, steps }: Change,
): Promise<NextHead> {
  checkRaise(head, steps)
  const version = nextVersion(head.version, steps)
  await applySteps(steps, { statements, fleet, at: new Date(head.nowMs).toISOString(), version })
  const ledgerHash = await appendLedger(statements, fleet, {
    version,
    atMs: head.nowMs,
    actor: author.actor,
    reason: author.reason,
    steps,
    previousHash: head.ledgerHash,
  })
  const evictionAsked = nextEviction(head.evictionAsked, version, steps)
  return { version, ledgerHash, evictionAsked, ...nextSizes(head, steps) }
}

/** As raise-version.sql takes it. */
function headRow({ version, ledgerHash, evictionAsked, wantedSize, configuredSize }: NextHead) {
  return [version, ledgerHash, evictionAsked, wantedSize, configuredSize]
}
