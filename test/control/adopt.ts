import t from 'tap'
import {
  livesOf as livesAmong,
  planAdoption,
  planRestrictions,
  type Listing,
  type Lives,
} from '../../src/control/adopt.ts'
import { lifeId } from '../../src/control/life.ts'
import type { Instance } from '../../src/provider/provider.ts'
import type { Drain, FleetContent, RestrictionRecord, UpstreamRecord } from '../../src/store/records.ts'
import type { Restriction } from '../../src/types.ts'
import { noLife } from '../fixtures/life.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const nowMs = Date.parse('2026-11-20T12:00:00Z')
const settings = { probes: true, drainMs: 900_000 }

const instance = (id: string, more: Partial<Instance> = {}): Instance => ({
  id,
  name: id,
  host: '10.0.0.1',
  port: 8888,
  egressIp: null,
  labels: {},
  credentials: null,
  zone: null,
  incarnation: null,
  status: 'running',
  createdAtMs: null,
  ...more,
})

function record(id: string, more: Partial<UpstreamRecord> = {}): UpstreamRecord {
  return {
    ...makeUpstream({ id, host: '10.0.0.1' }),
    ...noLife(id),
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

const drainBy = (by: Drain['by'], more: Partial<Drain> = {}): Drain => {
  return { sinceMs: 5, deadlineMs: 10, thenDelete: false, by, drainedAtMs: null, shut: null, ...more }
}
const draining = (id: string, drain: Drain, more: Partial<UpstreamRecord> = {}) =>
  record(id, { state: 'draining', drain, ...more })

const content = (upstreams: UpstreamRecord[], restrictions: RestrictionRecord[] = []): FleetContent => ({
  version: 1,
  ledgerHash: '',
  evictionAsked: null,
  wantedSize: null,
  configuredSize: null,
  nowMs,
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

/** Of what is listed all lives are known, of what is recorded those that are live. */
function plan(known: UpstreamRecord[], listed: Instance[], now: Partial<Listing> = {}) {
  const live = known.filter(({ state }) => state !== 'deleted')
  const lives = livesAmong(
    listed.map(({ id }) => id),
    new Map(known.map((record) => [record.id, record])),
  )
  return planAdoption(content(live), listing(listed, now), lives, settings)
}

/** Which every move begins anew. */
const notes = ['attempts', 'retryAtMs', 'problem']

/** `+id`, `-id`, `id: changed fields`. */
function told({ steps }: ReturnType<typeof planAdoption>): string[] {
  return steps.map((step) => {
    if (step.kind === 'upstream_added') return `+${step.upstream.id}`
    if (step.kind === 'upstream_deleted') return `-${step.id} by ${step.by}`
    if (step.kind !== 'upstream_changed') return step.kind
    const to = Object.entries(step.to).filter(([field]) => !notes.includes(field))
    return `${step.id}: ${JSON.stringify(Object.fromEntries(to))}`
  })
}

t.test('what is listed and new comes in as the provider says, and has to answer probes first', async (t) => {
  const listed = instance('a', {
    labels: { pool: 'p' },
    egressIp: '203.0.113.1',
    zone: 'here',
    incarnation: '7',
    createdAtMs: 5,
  })
  for (const [probes, state] of [
    [true, 'provisioning'],
    [false, 'running'],
  ] as const) {
    const { steps, left } = planAdoption(
      content([]),
      listing([listed], { provider: 'local', place: 'here' }),
      livesOf({}),
      { ...settings, probes },
    )
    const upstream = {
      id: 'a',
      instanceId: 'a',
      name: 'a',
      provider: 'local',
      state,
      host: '10.0.0.1',
      port: 8888,
      egressIp: '203.0.113.1',
      listedIp: '203.0.113.1',
      labels: { pool: 'p' },
      ejected: false,
      quarantined: false,
      credentials: null,
      zone: 'here',
      incarnation: '7',
      addedBy: 'provider',
    }
    t.strictSame(steps, [{ kind: 'upstream_added', upstream }], state)
    t.strictSame(left, [])
  }
})

t.test('what is known', async (t) => {
  const ip = { egressIp: '203.0.113.1' }
  const listedIp = { ...ip, listedIp: '203.0.113.1' }
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
      'another name and other credentials',
      [record('a')],
      instance('a', { name: 'A', host: '10.0.0.9', credentials: 'c' }),
      ['a: {"name":"A","host":"10.0.0.9","credentials":"c"}'],
    ],
    [
      'one that has not answered its probes yet',
      [record('a', { state: 'provisioning' })],
      instance('a', { port: 9999 }),
      ['a: {"port":9999}'],
    ],
    [
      'its egress IP becomes known',
      [record('a')],
      instance('a', ip),
      ['a: {"listedIp":"203.0.113.1","egressIp":"203.0.113.1"}'],
    ],
    [
      'its egress IP is told, as probes saw it',
      [record('a', ip)],
      instance('a', ip),
      ['a: {"listedIp":"203.0.113.1"}'],
    ],
    ['its egress IP is not told again', [record('a', listedIp)], instance('a'), []],
    [
      'another egress IP is another life',
      [record('a', listedIp)],
      instance('a', { egressIp: '203.0.113.2' }),
      ['-a by provider', '+a.2'],
    ],
    [
      'another than probes saw, where it was not told before',
      [record('a', ip)],
      instance('a', { egressIp: '203.0.113.2' }),
      ['-a by provider', '+a.2'],
    ],
    [
      'targets see another than is told, and it is told as before',
      [record('a', { ...listedIp, egressIp: '198.51.100.1' })],
      instance('a', ip),
      [],
    ],
    [
      'another than was told, though targets saw that before',
      [record('a', { ...listedIp, egressIp: '203.0.113.2' })],
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
    [
      'set aside by a person or by probes',
      [record('a', { quarantined: true, ejected: true })],
      instance('a'),
      [],
    ],
    ['it is being deleted', [record('a', { state: 'deleting' })], instance('a', { port: 9999 }), []],
    [
      'it never came up',
      [record('a', { ...listedIp, state: 'failed' })],
      instance('a', { egressIp: '203.0.113.2' }),
      [],
    ],
  ]
  for (const [name, known, listed, expected] of rows)
    t.strictSame(told(plan(known, [listed])), expected, name)
})

t.test('one that is drained', async (t) => {
  const cancelled = 'a: {"drain":null,"state":"running"}'
  const listedIp = '203.0.113.1'
  const rows: [name: string, known: UpstreamRecord, listed: Instance, told: string[]][] = [
    [
      'for it was off the list: it runs again',
      draining('a', drainBy('provider', { thenDelete: true })),
      instance('a'),
      [cancelled],
    ],
    [
      'also when what was left on it is closed already',
      draining('a', drainBy('provider', { drainedAtMs: 9, shut: { atMs: 9, pins: 1, tunnels: 2 } })),
      instance('a'),
      [cancelled],
    ],
    [
      'and it is as the list says now',
      draining('a', drainBy('provider')),
      instance('a', { port: 9999 }),
      ['a: {"port":9999,"drain":null,"state":"running"}'],
    ],
    ['by an operator: it stays so', draining('a', drainBy('operator')), instance('a'), []],
    [
      'to be deleted by an operator: it stays so',
      draining('a', drainBy('operator', { thenDelete: true })),
      instance('a', { port: 9999 }),
      ['a: {"port":9999}'],
    ],
    ['for another that takes its place: it stays so', draining('a', drainBy('control')), instance('a'), []],
    [
      'and its egress IP is another',
      draining('a', drainBy('operator'), { listedIp }),
      instance('a', { egressIp: '203.0.113.2' }),
      ['-a by provider', '+a.2'],
    ],
    [
      'to be deleted by an operator, and its egress IP is another: it does not come back',
      draining('a', drainBy('operator', { thenDelete: true }), { listedIp }),
      instance('a', { egressIp: '203.0.113.2' }),
      ['-a by operator'],
    ],
  ]
  for (const [name, known, listed, expected] of rows)
    t.strictSame(told(plan([known], [listed])), expected, name)
})

t.test('what an operator deleted stays deleted, and it is said how to have the machine back', async (t) => {
  const { steps, left } = plan([deleted('a', 'operator')], [instance('a')])
  t.strictSame(steps, [])
  t.match(left, [{ id: 'a', detail: /deleted "a" at 2026-11-20T10:00:00.000Z.*new id, or register/ }])
})

t.test('a machine that is somebody else’s is not taken in a second time', async (t) => {
  const mine = (more: Partial<UpstreamRecord> = {}) => record('mine-1', { addedBy: 'operator', ...more })
  const rows: [name: string, other: UpstreamRecord, isClash: boolean][] = [
    ['registered by its address', mine(), true],
    ['registered, and not up yet', mine({ state: 'provisioning' }), true],
    ['registered, and it never came up', mine({ state: 'failed' }), true],
    ['registered, and drained', mine({ state: 'draining', drain: drainBy('operator') }), false],
    ['registered, and being deleted', mine({ state: 'deleting' }), false],
    ['registered, elsewhere', mine({ port: 9999 }), false],
    ['local, of another folder', record('there-1', { provider: 'local', zone: 'there' }), true],
    ['in a cloud', record('vm-1', { provider: 'gce', addedBy: 'control' }), true],
  ]
  for (const [name, other, isClash] of rows) {
    const { steps, left } = plan([other], [instance('a')], { provider: 'local', place: 'here' })
    t.strictSame(told({ steps, left }), isClash ? [] : ['+a'], name)
    if (isClash) t.match(left, [{ id: 'a', detail: `"${other.id}" has its address already` }], name)
  }
})

t.test('a machine that was registered may come onto the list under its id', async (t) => {
  const { steps, left } = plan([record('a', { addedBy: 'operator' })], [instance('a', { name: 'A' })])
  t.strictSame(told({ steps, left }), ['a: {"name":"A"}'])
  t.strictSame(left, [])
})

t.test('an address that is off the list may be taken at once by another entry', async (t) => {
  t.strictSame(told(plan([record('old', { state: 'provisioning' })], [instance('new')])), [
    '-old by provider',
    '+new',
  ])
  t.match(told(plan([record('old')], [instance('new')])), [/^old: .*"state":"draining"/, '+new'])
})

t.test('what is off a list is drained, since its machine may well be there', async (t) => {
  const drain = {
    sinceMs: nowMs,
    deadlineMs: nowMs + 900_000,
    thenDelete: true,
    by: 'provider',
    drainedAtMs: null,
    shut: null,
  }
  const now: [name: string, now: Partial<Listing>][] = [
    ['another list', {}],
    ['this machine now', { provider: 'local', place: 'here' }],
    ['a cloud now', { provider: 'gce' }],
  ]
  for (const [name, other] of now) {
    const { steps } = plan([record('a')], [], other)
    t.match(steps, [{ kind: 'upstream_changed', id: 'a', from: { state: 'running', drain: null } }], name)
    t.strictSame(told({ steps, left: [] }), [`a: ${JSON.stringify({ drain, state: 'draining' })}`], name)
  }
  const asked = drainBy('operator', { drainedAtMs: 7 })
  const rows: [name: string, record: UpstreamRecord, told: string[]][] = [
    ['no job has it yet', record('a', { state: 'provisioning' }), ['-a by provider']],
    [
      'drained already: it is deleted when that is over',
      draining('a', asked),
      [`a: ${JSON.stringify({ drain: { ...asked, thenDelete: true } })}`],
    ],
    ['to be deleted already', draining('a', drainBy('operator', { thenDelete: true })), []],
    ['being deleted', record('a', { state: 'deleting', drain: drainBy('operator') }), []],
    ['it never came up', record('a', { state: 'failed' }), []],
    ['registered by an operator', record('a', { addedBy: 'operator' }), []],
  ]
  for (const [name, upstream, expected] of rows) t.strictSame(told(plan([upstream], [])), expected, name)
})

t.test('what does not stand on this machine any more has ended', async (t) => {
  const here = { provider: 'local', place: 'here' } as const
  const local = (more: Partial<UpstreamRecord>) => record('a', { provider: 'local', zone: 'here', ...more })
  const ordered = { state: 'provisioning', host: '', addedBy: 'control' } as const
  const rows: [name: string, record: UpstreamRecord, now: Partial<Listing>, told: string[]][] = [
    ['it ran', local({}), here, ['-a by provider']],
    ['ordered, and it ran', local({ addedBy: 'control' }), here, ['-a by provider']],
    ['it was not up yet', local({ state: 'provisioning' }), here, ['-a by provider']],
    ['it is still to be made', local(ordered), here, []],
    ['it is still to be made, and the provider is another now', local(ordered), {}, ['-a by provider']],
    ['it was drained', local({ state: 'draining', drain: drainBy('operator') }), here, ['-a by provider']],
    [
      'it was drained to be deleted',
      local({ state: 'draining', drain: drainBy('control', { thenDelete: true }) }),
      here,
      ['-a by control'],
    ],
    [
      'it was being deleted',
      local({ state: 'deleting', drain: drainBy('control', { thenDelete: true }) }),
      here,
      ['-a by control'],
    ],
    ['it was being deleted by force', local({ state: 'deleting' }), here, ['-a by operator']],
    ['it never came up', local({ state: 'failed' }), here, []],
    ['of another data folder', local({ zone: 'there' }), here, []],
    ['the provider is another now', local({}), {}, ['-a by provider']],
    ['the provider is a cloud now', local({}), { provider: 'gce' }, ['-a by provider']],
    ['registered by an operator', local({ addedBy: 'operator' }), here, []],
    ['in a cloud, and the provider is another now', local({ provider: 'gce', zone: 'z-1' }), here, []],
    [
      'in a cloud, whose list is not asked here',
      local({ provider: 'gce', zone: 'z-1' }),
      { provider: 'gce' },
      [],
    ],
  ]
  for (const [name, upstream, now, expected] of rows)
    t.strictSame(told(plan([upstream], [], now)), expected, name)
})

t.test('records that moved on since they were read have to be read again', async (t) => {
  const rows: [name: string, live: UpstreamRecord[], read: UpstreamRecord[]][] = [
    ['it was added meanwhile', [record('a')], []],
    ['a second life has begun', [record('a.2')], [deleted('a', 'provider')]],
    ['it was deleted meanwhile', [], [record('a')]],
  ]
  for (const [name, live, read] of rows) {
    const outdated = () =>
      planAdoption(content(live), listing([instance('a')]), livesOf({ a: read }), settings)
    t.throws(outdated, { code: 'conflict' }, name)
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
  const bank: Restriction = { ...rule('r', 'a'), targets: ['bank.example'], report: false }
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
    ['the same targets', [stored(bank, 'config')], [{ ...bank, targets: ['bank.example'] }], []],
    [
      'other targets',
      [stored(bank, 'config')],
      [{ ...bank, targets: ['bank.example', 'b.example'] }],
      ['restriction_replaced r config'],
    ],
    [
      'targets that are enforced now',
      [stored({ ...bank, report: true }, 'config')],
      [bank],
      ['restriction_replaced r config'],
    ],
    ['targets that have come', [stored(rule('r', 'a'), 'config')], [bank], ['restriction_replaced r config']],
    ['targets that are gone', [stored(bank, 'config')], [rule('r', 'a')], ['restriction_replaced r config']],
    [
      'none, in another spelling',
      [stored(rule('r', 'a'), 'config')],
      [{ ...rule('r', 'a'), targets: null, report: false }],
      [],
    ],
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
