// What answers look like. The types of the present-*.ts are made of these, so the two cannot drift apart.

import Type, { type Static, type TProperties } from 'typebox'
import { restrictionKinds, upstreamStates, type Labels, type UpstreamSelector } from '../types.ts'
import { nullable, oneOf } from './grammar.ts'

export const text = Type.String()
export const textOrNull = nullable(text)
export const flag = Type.Boolean()
export const count = Type.Integer({ minimum: 0 })
export const time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC' })
export const version = Type.Integer({ minimum: 0, description: 'the version of the fleet' })
export const anyLabels = Type.Unsafe<Labels>({ type: 'object', additionalProperties: { type: 'string' } })

export function closed<T extends TProperties>(properties: T, options: { description?: string } = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options })
}

function patternsOrNull(description: string) {
  return Type.Unsafe<readonly string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string' },
    description,
  })
}

/** Who brought an upstream into the fleet, or takes it out. */
export const origins = ['operator', 'provider', 'control'] as const
export const port = Type.Integer({ minimum: 1, maximum: 65_535 })

const drainShape = closed({
  since: time,
  deadline: Type.String({ format: 'date-time', description: 'what is left then is closed' }),
  thenDelete: flag,
  drainedAt: nullable(
    Type.String({ format: 'date-time', description: 'when it was found empty, or its deadline came' }),
  ),
  shut: nullable(
    closed(
      { at: time, pins: count, tunnels: count },
      { description: 'what was left at the deadline and closed' },
    ),
  ),
})

export const upstreamShape = closed({
  id: text,
  name: text,
  provider: text,
  zone: textOrNull,
  state: oneOf(...upstreamStates),
  host: nullable(Type.String({ description: 'where gateways reach it; null until it is made' })),
  port: nullable(port),
  egressIp: nullable(Type.String({ description: 'the address that targets see' })),
  listedIp: nullable(Type.String({ description: 'the external address that its provider lists' })),
  labels: anyLabels,
  ejected: flag,
  quarantined: flag,
  credentials: nullable(Type.String({ description: 'the name of a credential, never the credential' })),
  pins: nullable(Type.Integer({ minimum: 0, description: 'pinned jobs; null while Redis is away' })),
  tunnels: nullable(Type.Integer({ minimum: 0, description: 'open tunnels; null while Redis is away' })),
  drain: nullable(drainShape),
  replacedBy: nullable(
    Type.String({ description: 'what was made to take its place: once that runs, this one is drained' }),
  ),
  problem: nullable(Type.String({ description: 'why its last step failed, and what to do' })),
  attempts: Type.Integer({ minimum: 0, description: 'failed tries of the step under way' }),
  retryAt: nullable(Type.String({ format: 'date-time', description: 'when that step is tried again' })),
  ejectedUntil: nullable(time),
  instanceId: Type.String({ description: 'under which its provider lists it' }),
  incarnation: nullable(Type.String({ description: "the cloud's own number of this very machine" })),
  addedBy: oneOf(...origins),
  stateSince: time,
  createdAt: time,
  updatedAt: time,
  deletedAt: nullable(time),
})
export type UpstreamShape = Static<typeof upstreamShape>

export const changedUpstreamShape = closed({ ...upstreamShape.properties, version })

export const selectorShape = Type.Unsafe<UpstreamSelector>(
  Type.Union([
    closed({ ids: Type.Array(text) }),
    closed({ labels: anyLabels }, { description: 'upstreams that have them all' }),
  ]),
)
export const ruleFields = {
  id: text,
  kind: oneOf(...restrictionKinds),
  type: text,
  institution: text,
  upstreams: selectorShape,
  overflow: flag,
}
const targetsShape = patternsOrNull(
  'what the lanes may reach: names, *.names, addresses and CIDRs; null: anything',
)
const reportShown = Type.Boolean({ description: 'what targets would refuse is only told in the log' })
/** As the ledger has it: a rule without targets does not speak of them. */
export const ruleShape = closed({
  ...ruleFields,
  targets: Type.Optional(targetsShape),
  report: Type.Optional(reportShown),
})
export const restrictionShape = closed({
  ...ruleFields,
  targets: targetsShape,
  report: reportShown,
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
  targets: closed(
    {
      allowed: patternsOrNull('all that its jobs may reach; null: anything'),
      reported: patternsOrNull('anything else is told in the log, and let through; null: nothing is'),
      restrictions: Type.Array(text, { description: 'the ids of the rules that say so' }),
    },
    { description: 'beside what gateways refuse to everybody' },
  ),
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

const stateCounts = closed({
  provisioning: count,
  running: count,
  draining: count,
  deleting: count,
  failed: count,
})
export const fleetShape = closed({
  wanted: nullable(
    Type.Integer({ minimum: 0, description: 'how many upstreams are kept; null: as many as there are' }),
  ),
  states: stateCounts,
  ejected: count,
  quarantined: count,
  version,
})
export type FleetShape = Static<typeof fleetShape>

export const syncReportShape = closed({
  pass: Type.String({ description: 'as POST /v1/sync answered it' }),
  holder: Type.String({ description: 'the process that did it' }),
  startedAt: time,
  endedAt: time,
  outcome: Type.Unsafe<SyncOutcome>({
    ...oneOf('done', 'incomplete', 'stopped', 'failed'),
    description:
      'incomplete: the list was, so nothing was taken for gone; stopped: too much is gone, confirm it; failed: no list',
  }),
  problems: Type.Array(text, { description: 'why it is not done' }),
  listed: count,
  recorded: count,
  corrected: Type.Array(closed({ id: text, action: text, detail: text })),
  left: Type.Array(closed({ id: text, detail: text }), { description: 'seen, and left alone' }),
})
export type SyncReportShape = Static<typeof syncReportShape>
type SyncOutcome = 'done' | 'incomplete' | 'stopped' | 'failed'

export const tokenShape = closed({
  token: Type.String({ description: 'the password of the proxy URL; told once, and kept nowhere' }),
  expiresAt: time,
  keyId: Type.String({ description: 'which key of gateway.tokenKeys has signed it' }),
  proxyUser: Type.String({
    description:
      'the user of the proxy URL, http://<proxyUser>:<token>@gateway, for clients that want one: the token names the job by ' +
      'itself. Empty for a job id with a ":", which no user can carry',
  }),
})
export type TokenShape = Static<typeof tokenShape>

export const problemShape = closed({
  type: Type.String({ description: 'urn:lanekeeper:error:<code>' }),
  title: text,
  status: Type.Integer(),
  code: Type.String({ description: 'stable: branch on it, never on the texts' }),
  detail: text,
})
