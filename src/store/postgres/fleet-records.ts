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
import { isKept, keepAnswer } from './idempotency.ts'
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

    change: (request) => changeOnce(db, fleet, { ...request, read: readContent }),

    changeUpstreams: ({ ids, ...request }) =>
      changeOnce(db, fleet, {
        ...request,
        read: (statements, fleet, head) => readSome(statements, fleet, { head, ids }),
      }),

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
  readonly read: (statements: Statements, fleet: string, head: Head) => Promise<Content>
  readonly decide: (content: Content) => ReturnType<ChangeRequest<T>['decide']>
}

/** What a change is about to write. `ledgerHash`: of its row; null where it changes nothing. */
type Made<T> = { readonly outcome: Outcome<T>; readonly ledgerHash: string | null }

/** Where the answer to the COMMIT is lost it looks whether that was made, behind the fleet's lock: nobody is at it then. */
function changeOnce<T, Content>(db: Db, fleet: string, request: Request<T, Content>): Promise<Outcome<T>> {
  let made: Made<T> | null = null
  return db.transaction(
    async (statements) => {
      const head = await readHead(statements, fleet, 'lock-fleet')
      if (made === null || !(await isThere(statements, fleet, made, request)))
        made = await change(statements, fleet, head, request)
      return made.outcome
    },
    { isRepeatable: true },
  )
}

/** The hash is of all that the row says and of the row before: no other change has it. */
async function isThere<T>(
  statements: Statements,
  fleet: string,
  { outcome: { version }, ledgerHash }: Made<T>,
  { keep }: Pick<ChangeRequest<T>, 'keep'>,
): Promise<boolean> {
  if (ledgerHash === null) return keep ? isKept(statements, fleet, keep.claim) : false
  const [row] = await statements.query<{ hash: string }>(queries['read-ledger'], [fleet, version])
  return row?.hash === ledgerHash
}

async function change<T, Content>(
  statements: Statements,
  fleet: string,
  head: Head,
  { author, read, decide, keep }: Request<T, Content>,
): Promise<Made<T>> {
  const { steps, answer } = decide(await read(statements, fleet, head))
  const next = steps.length === 0 ? null : await write(statements, fleet, { head, author, steps })
  const outcome = { version: (next ?? head).version, answer }
  if (keep) await keepAnswer(statements, fleet, keep.claim, keep.answer(outcome))
  if (next) await statements.query(queries['raise-version'], [fleet, ...headRow(next)])
  return { outcome, ledgerHash: next?.ledgerHash ?? null }
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
