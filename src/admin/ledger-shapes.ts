// What rows of the ledger look like. Steps are told as they were written and hashed, so their times stay milliseconds
// and fields that a row was written without stay away.

import Type, { type Static } from 'typebox'
import { upstreamStates } from '../types.ts'
import { nullable, oneOf } from './grammar.ts'
import {
  anyLabels,
  closed,
  count,
  flag,
  origins,
  ruleShape,
  text,
  textOrNull,
  time,
  version,
} from './shapes.ts'

const timeMs = Type.Integer({ description: 'Unix time in milliseconds' })
const timeMsOrNull = nullable(timeMs)
const origin = oneOf(...origins)

const drain = closed({
  sinceMs: timeMs,
  deadlineMs: timeMs,
  thenDelete: flag,
  by: origin,
  drainedAtMs: timeMsOrNull,
  shut: nullable(closed({ atMs: timeMs, pins: count, tunnels: count })),
})
const lifeFields = {
  incarnation: textOrNull,
  zone: textOrNull,
  listedIp: textOrNull,
  requestId: textOrNull,
  attempts: count,
  retryAtMs: timeMsOrNull,
  problem: textOrNull,
  drain: nullable(drain),
  replacedBy: textOrNull,
  ejections: count,
  ejectedUntilMs: timeMsOrNull,
}
const nouns = {
  name: text,
  host: Type.String({ description: 'empty until it is made' }),
  port: Type.Integer(),
  egressIp: textOrNull,
  labels: anyLabels,
  credentials: textOrNull,
  state: oneOf(...upstreamStates),
  ejected: flag,
  quarantined: flag,
}
const upstreamFields = Type.Partial(Type.Object({ ...nouns, ...lifeFields }), {
  additionalProperties: false,
})
const newUpstream = closed({
  id: text,
  provider: text,
  ...nouns,
  ...Type.Partial(Type.Object({ instanceId: text, ...lifeFields })).properties,
  addedBy: origin,
})
const source = oneOf('config', 'api')
const size = nullable(count)

const stepShape = Type.Union([
  closed({ kind: Type.Literal('upstream_added'), upstream: newUpstream }),
  closed({ kind: Type.Literal('upstream_changed'), id: text, from: upstreamFields, to: upstreamFields }),
  closed({ kind: Type.Literal('upstream_deleted'), id: text, by: origin }),
  closed({ kind: Type.Literal('restriction_added'), restriction: ruleShape, source }),
  closed({ kind: Type.Literal('restriction_replaced'), from: ruleShape, restriction: ruleShape, source }),
  closed({ kind: Type.Literal('restriction_removed'), restriction: ruleShape }),
  closed({ kind: Type.Literal('eviction_asked') }),
  closed({ kind: Type.Literal('jobs_evicted'), asked: version, jobs: count }),
  closed({ kind: Type.Literal('size_wanted'), from: size, to: size, configured: size }),
  closed({ kind: Type.Literal('version_raised'), above: version }),
])

export const ledgerEntryShape = closed({
  version,
  at: time,
  actor: text,
  reason: textOrNull,
  steps: Type.Array(stepShape),
  previousHash: text,
  hash: text,
})
export type LedgerEntryShape = Static<typeof ledgerEntryShape>

export const ledgerCheckShape = Type.Union([
  closed({ ok: Type.Literal(true), entries: count, version, hash: text }),
  closed({
    ok: Type.Literal(false),
    version: Type.Integer({ description: 'of the first row that does not fit' }),
    problem: text,
  }),
])
