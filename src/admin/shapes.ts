// What answers look like. The types of the present-*.ts are made of these, so the two cannot drift apart.

import Type, { type Static, type TProperties } from 'typebox'
import { restrictionKinds, upstreamStates, type Labels, type UpstreamSelector } from '../types.ts'
import { nullable, oneOf } from './grammar.ts'

const text = Type.String()
const textOrNull = nullable(text)
const flag = Type.Boolean()
const count = Type.Integer({ minimum: 0 })
const time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC' })
const version = Type.Integer({ minimum: 0, description: 'the version of the fleet' })
const anyLabels = Type.Unsafe<Labels>({ type: 'object', additionalProperties: { type: 'string' } })

export function closed<T extends TProperties>(properties: T, options: { description?: string } = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options })
}

export const upstreamShape = closed({
  id: text,
  name: text,
  provider: text,
  zone: textOrNull,
  state: oneOf(...upstreamStates),
  host: text,
  port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  egressIp: nullable(Type.String({ description: 'the address that targets see' })),
  labels: anyLabels,
  ejected: flag,
  quarantined: flag,
  credentials: nullable(Type.String({ description: 'the name of a credential, never the credential' })),
  pins: nullable(Type.Integer({ minimum: 0, description: 'pinned jobs; null while Redis is away' })),
  tunnels: nullable(Type.Integer({ minimum: 0, description: 'open tunnels; null while Redis is away' })),
  createdAt: time,
  updatedAt: time,
  deletedAt: nullable(time),
})
export type UpstreamShape = Static<typeof upstreamShape>

export const changedUpstreamShape = closed({ ...upstreamShape.properties, version })

const selectorShape = Type.Unsafe<UpstreamSelector>(
  Type.Union([
    closed({ ids: Type.Array(text) }),
    closed({ labels: anyLabels }, { description: 'upstreams that have them all' }),
  ]),
)
const ruleFields = {
  id: text,
  kind: oneOf(...restrictionKinds),
  type: text,
  institution: text,
  upstreams: selectorShape,
  overflow: flag,
}
export const restrictionShape = closed({
  ...ruleFields,
  source: oneOf('config', 'api'),
  createdAt: time,
  updatedAt: time,
})
export type RestrictionShape = Static<typeof restrictionShape>

const changeFields = {
  version,
  evicting: Type.Boolean({
    description:
      'jobs that fit the rules no longer are being released; a step jobs_evicted in the ledger tells the end',
  }),
}
export const changedRestrictionShape = closed({ ...restrictionShape.properties, ...changeFields })
export const removedRestrictionShape = closed({ id: text, ...changeFields })

export const explanationShape = closed({
  type: text,
  institution: text,
  version,
  eligible: Type.Array(text, { description: 'upstreams, in the order of the lane' }),
  refused: Type.Array(closed({ upstream: text, reason: text, restriction: textOrNull })),
})

export const jobShape = closed({
  id: text,
  type: textOrNull,
  institution: textOrNull,
  upstream: closed({ id: text, egressIp: textOrNull }),
  fresh: Type.Boolean({ description: 'no tunnel has opened yet' }),
  pinnedAt: time,
  expiresAt: time,
  tunnels: count,
})

export const reportShape = closed({
  at: time,
  outcome: text,
  upstream: textOrNull,
  type: textOrNull,
  institution: textOrNull,
  actor: text,
})
export type ReportShape = Static<typeof reportShape>

const upstreamFields = Type.Partial(
  Type.Object({
    name: text,
    host: text,
    port: Type.Integer(),
    egressIp: textOrNull,
    labels: anyLabels,
    credentials: textOrNull,
    state: oneOf(...upstreamStates),
    ejected: flag,
    quarantined: flag,
  }),
  { additionalProperties: false },
)
const origin = oneOf('operator', 'provider')
const source = oneOf('config', 'api')
const rule = closed(ruleFields)
const newUpstream = closed({
  ...Type.Pick(upstreamShape, [
    'id',
    'name',
    'provider',
    'state',
    'host',
    'port',
    'egressIp',
    'labels',
    'zone',
  ]).properties,
  ejected: flag,
  quarantined: flag,
  credentials: textOrNull,
  addedBy: origin,
})
const stepShape = Type.Union([
  closed({ kind: Type.Literal('upstream_added'), upstream: newUpstream }),
  closed({ kind: Type.Literal('upstream_changed'), id: text, from: upstreamFields, to: upstreamFields }),
  closed({ kind: Type.Literal('upstream_deleted'), id: text, by: origin }),
  closed({ kind: Type.Literal('restriction_added'), restriction: rule, source }),
  closed({ kind: Type.Literal('restriction_replaced'), from: rule, restriction: rule, source }),
  closed({ kind: Type.Literal('restriction_removed'), restriction: rule }),
  closed({ kind: Type.Literal('eviction_asked') }),
  closed({ kind: Type.Literal('jobs_evicted'), asked: version, jobs: count }),
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

export const problemShape = closed({
  type: Type.String({ description: 'urn:lanekeeper:error:<code>' }),
  title: text,
  status: Type.Integer(),
  code: Type.String({ description: 'stable: branch on it, never on the texts' }),
  detail: text,
})

/** Named in the OpenAPI document; routes refer to them by name. */
export const components = {
  Upstream: upstreamShape,
  ChangedUpstream: changedUpstreamShape,
  Restriction: restrictionShape,
  ChangedRestriction: changedRestrictionShape,
  RemovedRestriction: removedRestrictionShape,
  Explanation: explanationShape,
  Job: jobShape,
  Report: reportShape,
  LedgerEntry: ledgerEntryShape,
  LedgerCheck: ledgerCheckShape,
  Problem: problemShape,
}
