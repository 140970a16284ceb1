import t from 'tap'
import {
  lifeId,
  livesOf as livesAmong,
  planAdoption,
  planRestrictions,
  type Listing,
  type Lives,
} from '../../src/control/adopt.ts'
import type { Instance } from '../../src/provider/provider.ts'
import type { FleetContent, RestrictionRecord, UpstreamRecord } from '../../src/store/records.ts'
import type { Restriction } from '../../src/types.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const instance = (id: string, more: Partial<Instance> = {}): Instance => ({
  id,
  name: id,
  host: '10.0.0.1',
  port: 8888,
  egressIp: null,
  labels: {},
  credentials: null,
  ...more,
})

function record(id: string, more: Partial<UpstreamRecord> = {}): UpstreamRecord {
  return {
    ...makeUpstream({ id, host: '10.0.0.1', ...more }),
    zone: null,
    addedBy: 'provider',
    rowVersion: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    deletedAtMs: null,
    deletedBy: null,
    ...more,
  }
}
const deleted = (id: string, deletedBy: 'operator' | 'provider') =>
  record(id, { state: 'deleted', deletedBy, deletedAtMs: Date.parse('2026-11-20T10:00:00Z') })

const content = (upstreams: UpstreamRecord[], restrictions: RestrictionRecord[] = []): FleetContent => ({
  version: 1,
  ledgerHash: '',
  evictionAsked: null,
  nowMs: 0,
  upstreams,
  restrictions,
})
const listing = (instances: Instance[], more: Partial<Listing> = {}): Listing => ({
  provider: 'static',
  place: null,
  instances,
  ...more,
})
const livesOf = (lives: { readonly [id: string]: UpstreamRecord[] }): Lives => new Map(Object.entries(lives))

/** `+id`, `-id`, `id: changed fields`. */
function told({ steps }: ReturnType<typeof planAdoption>): string[] {
  return steps.map((step) => {
    if (step.kind === 'upstream_added') return `+${step.upstream.id}`
    if (step.kind === 'upstream_deleted') return `-${step.id} by ${step.by}`
    if (step.kind === 'upstream_changed') return `${step.id}: ${JSON.stringify(step.to)}`
    return step.kind
  })
}

t.test('what is listed and new comes in, as running and as the provider says', async (t) => {
  const { steps, left } = planAdoption(
    content([]),
    listing([instance('a', { labels: { pool: 'p' }, egressIp: '203.0.113.1' })], {
      provider: 'local',
      place: 'here',
    }),
    livesOf({}),
  )
  t.strictSame(steps, [
    {
      kind: 'upstream_added',
      upstream: {
        ...instance('a', { labels: { pool: 'p' }, egressIp: '203.0.113.1' }),
        provider: 'local',
        state: 'running',
        ejected: false,
        quarantined: false,
        zone: 'here',
        addedBy: 'provider',
      },
    },
  ])
  t.strictSame(left, [])
})

t.test('what is known', async (t) => {
  const rows: [name: string, known: UpstreamRecord[], listed: Instance, told: string[]][] = [
    [
      'the same: nothing',
      [record('a', { labels: { b: '1', a: '2' } })],
      instance('a', { labels: { a: '2', b: '1' } }),
      [],
    ],
    ['other labels', [record('a')], instance('a', { labels: { pool: 'q' } }), ['a: {"labels":{"pool":"q"}}']],
    ['another address', [record('a')], instance('a', { port: 9999 }), ['a: {"port":9999}']],
    [
      'its egress IP becomes known',
      [record('a')],
      instance('a', { egressIp: '203.0.113.1' }),
      ['a: {"egressIp":"203.0.113.1"}'],
    ],
    ['its egress IP is not told again', [record('a', { egressIp: '203.0.113.1' })], instance('a'), []],
    [
      'another egress IP is another life',
      [record('a', { egressIp: '203.0.113.1' })],
      instance('a', { egressIp: '203.0.113.2' }),
      ['-a by provider', '+a.2'],
    ],
    ['it was gone and is back', [deleted('a', 'provider')], instance('a'), ['+a.2']],
    [
      'it is back for the third time',
      [deleted('a', 'provider'), deleted('a.2', 'provider')],
      instance('a'),
      ['+a.3'],
    ],
    [
      'its second life goes on',
      [deleted('a', 'provider'), record('a.2')],
      instance('a', { name: 'a.2' }),
      [],
    ],
    ['a quarantine stays', [record('a', { quarantined: true })], instance('a'), []],
  ]
  for (const [name, known, listed, expected] of rows) {
    const live = known.filter(({ state }) => state !== 'deleted')
    t.strictSame(told(planAdoption(content(live), listing([listed]), livesOf({ a: known }))), expected, name)
  }
})

t.test('what an operator deleted stays deleted, and it is said how to have the machine back', async (t) => {
  const plan = planAdoption(content([]), listing([instance('a')]), livesOf({ a: [deleted('a', 'operator')] }))
  t.strictSame(plan.steps, [])
  t.match(plan.left, [{ id: 'a', detail: /deleted "a" at 2026-11-20T10:00:00.000Z.*new id, or register/ }])
})

t.test('a machine that an operator registered by its address is not taken in a second time', async (t) => {
  const plan = planAdoption(
    content([record('mine-1', { addedBy: 'operator' })]),
    listing([instance('a')]),
    livesOf({}),
  )
  t.strictSame(plan.steps, [])
  t.match(plan.left, [{ id: 'a', detail: /"mine-1" has its address/ }])
})

t.test('an address that is given up may be taken at once', async (t) => {
  t.strictSame(told(planAdoption(content([record('old')]), listing([instance('new')]), livesOf({}))), [
    '-old by provider',
    '+new',
  ])
})

t.test('who is not listed leaves, if it is the business of this provider', async (t) => {
  const rows: [name: string, record: UpstreamRecord, now: Partial<Listing>, leaves: boolean][] = [
    ['of the list', record('a'), {}, true],
    ['registered by an operator', record('a', { addedBy: 'operator' }), {}, false],
    [
      'local, of this data folder',
      record('a', { provider: 'local', zone: 'here' }),
      { provider: 'local', place: 'here' },
      true,
    ],
    [
      'local, of another one',
      record('a', { provider: 'local', zone: 'there' }),
      { provider: 'local', place: 'here' },
      false,
    ],
    ['local, and the provider is another now', record('a', { provider: 'local', zone: 'here' }), {}, true],
    ['of the list, and the provider is another now', record('a'), { provider: 'local', place: 'here' }, true],
    ['in a cloud, and the provider is another now', record('a', { provider: 'gce' }), {}, false],
  ]
  for (const [name, upstream, now, leaves] of rows) {
    const plan = planAdoption(content([upstream]), listing([], now), livesOf({}))
    t.strictSame(told(plan), leaves ? ['-a by provider'] : [], name)
  }
})

t.test('records that moved on since they were read have to be read again', async (t) => {
  const rows: [name: string, live: UpstreamRecord[], read: UpstreamRecord[]][] = [
    ['it was added meanwhile', [record('a')], []],
    ['a second life has begun', [record('a.2')], [deleted('a', 'provider')]],
    ['it was deleted meanwhile', [], [record('a')]],
  ]
  for (const [name, live, read] of rows) {
    const plan = () => planAdoption(content(live), listing([instance('a')]), livesOf({ a: read }))
    t.throws(plan, { code: 'conflict' }, name)
  }
})

t.test('the lives of what is listed are found among all records, the newest last', async (t) => {
  const records = [deleted('a', 'provider'), record('a.2'), record('a.4'), record('b')]
  const lives = livesAmong(['a', 'b', 'c'], new Map(records.map((record) => [record.id, record])))
  t.same(
    [...lives].map(([id, found]) => [id, ...found.map(({ id }) => id)]),
    [['a', 'a', 'a.2'], ['b', 'b'], ['c']],
  )
})

t.test('lives have ids of their own', async (t) => {
  t.same(
    [1, 2, 3].map((life) => lifeId('a', life)),
    ['a', 'a.2', 'a.3'],
  )
})

t.test('rules of the configuration come and go with it, those of operators stay', async (t) => {
  const rule = (id: string, ...ids: string[]): Restriction => {
    return { id, kind: 'deny', type: '*', institution: '*', upstreams: { ids }, overflow: false }
  }
  const stored = (rule: Restriction, source: 'config' | 'api'): RestrictionRecord => {
    return { ...rule, source, createdAtMs: 0, updatedAtMs: 0 }
  }
  const rows: [name: string, there: RestrictionRecord[], configured: Restriction[], steps: string[]][] = [
    ['a new one', [], [rule('r', 'a')], ['restriction_added r config']],
    ['the same', [stored(rule('r', 'a'), 'config')], [rule('r', 'a')], []],
    [
      'a changed one',
      [stored(rule('r', 'a'), 'config')],
      [rule('r', 'b')],
      ['restriction_replaced r config'],
    ],
    ['one that is gone', [stored(rule('r', 'a'), 'config')], [], ['restriction_removed r']],
    ["an operator's", [stored(rule('r', 'a'), 'api')], [], []],
    [
      "an operator's, now in the configuration",
      [stored(rule('r', 'a'), 'api')],
      [rule('r', 'a')],
      ['restriction_replaced r config'],
    ],
  ]
  for (const [name, there, configured, expected] of rows) {
    const steps = planRestrictions(content([], there), configured).map((step) =>
      'restriction' in step
        ? `${step.kind} ${step.restriction.id}${'source' in step ? ` ${step.source}` : ''}`
        : step.kind,
    )
    t.strictSame(steps, expected, name)
  }
})
