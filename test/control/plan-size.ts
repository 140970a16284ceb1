import t from 'tap'
import { isOwn, planSize, stands, type SizeFacts } from '../../src/control/plan-size.ts'
import type { UpstreamRecord } from '../../src/store/records.ts'
import { drain, madeMs, upstreamRecord } from '../fixtures/upstream-records.ts'

const coolDownMs = 300_000
const nowMs = madeMs + 1_000_000
const facts = (said: Partial<SizeFacts>): SizeFacts => ({
  nowMs,
  wanted: null,
  provider: 'gce',
  place: null,
  load: { pins: new Map(), tunnels: new Map() },
  coolDownMs,
  ...said,
})

type Said = Partial<UpstreamRecord>

/** `a`, `b`, ...: each a second younger than the one before. */
const fleet = (...said: Said[]): UpstreamRecord[] =>
  said.map((one, index) =>
    upstreamRecord({ id: 'abcdefghij'[index]!, createdAtMs: madeMs + index * 1000, ...one }),
  )
const many = (count: number, said: Said = {}) => Array.from({ length: count }, () => said)

function planned(upstreams: readonly UpstreamRecord[], said: Partial<SizeFacts>) {
  const { order, leave, reason } = planSize(upstreams, facts(said))
  return { order, leave: leave.map(({ id }) => id).join(''), reason }
}

const coming = { state: 'provisioning', host: '' } as const
const drained = { state: 'draining', drain: drain({ drainedAtMs: madeMs }) } as const
const leaving = { state: 'draining', drain: drain({ thenDelete: true }) } as const
const failedAgo = (agoMs: number) => ({ state: 'failed', stateSinceMs: nowMs - agoMs }) as const

const rows: readonly (readonly [
  name: string,
  upstreams: readonly Said[],
  said: Partial<SizeFacts>,
  order: number,
  leave: string,
])[] = [
  ['no size is wanted: nothing is done', [{}, coming], { wanted: null }, 0, ''],
  ['as wanted: nothing is done', [{}, {}], { wanted: 2 }, 0, ''],
  ['none of two', [], { wanted: 2 }, 2, ''],
  ['one of three', [{}], { wanted: 3 }, 2, ''],
  ['what is being made counts', [{}, coming, coming], { wanted: 3 }, 0, ''],
  ['what leaves does not count', [{}, leaving], { wanted: 2 }, 1, ''],
  ['what is deleted does not count', [{}, { state: 'deleting' }], { wanted: 2 }, 1, ''],
  ['what is drained comes back, and counts', [{}, drained], { wanted: 2 }, 0, ''],
  ['what is only being drained counts', [{}, { ...drained, drain: drain() }], { wanted: 2 }, 0, ''],
  [
    'one that is replaced counts no more, its replacement does',
    [{ replacedBy: 'b' }, coming],
    { wanted: 1 },
    0,
    '',
  ],
  ['what is ejected or quarantined counts', [{ ejected: true }, { quarantined: true }], { wanted: 2 }, 0, ''],
  ['what operators registered does not count', [{ addedBy: 'operator' }], { wanted: 1 }, 1, ''],
  ['what the provider listed counts', [{ addedBy: 'provider' }], { wanted: 1 }, 0, ''],
  ['what another provider made does not count', [{ provider: 'local' }], { wanted: 1 }, 1, ''],
  ['another place does not count', [{ zone: 'there' }], { wanted: 1, place: 'here' }, 1, ''],
  ['this place counts', [{ zone: 'here' }], { wanted: 1, place: 'here' }, 0, ''],
  ['each of several zones counts', [{ zone: 'b-1' }, { zone: 'b-2' }], { wanted: 2 }, 0, ''],
  ['another place does not leave', [{ zone: 'there' }], { wanted: 0, place: 'here' }, 0, ''],
  ['what operators registered does not leave', [{ addedBy: 'operator' }], { wanted: 0 }, 0, ''],
  ['fifty at once', [], { wanted: 50 }, 50, ''],
  ['no more than fifty at once', [], { wanted: 5000 }, 50, ''],

  ['none is ordered for one that has just failed', [failedAgo(0)], { wanted: 1 }, 0, ''],
  ['nor just before the cool-down ends', [failedAgo(coolDownMs - 1)], { wanted: 1 }, 0, ''],
  ['but once it is over', [failedAgo(coolDownMs)], { wanted: 1 }, 1, ''],
  ['each failure holds back one', [{}, failedAgo(0), failedAgo(1)], { wanted: 4 }, 1, ''],
  ['more failures than are missing', [{}, failedAgo(0), failedAgo(1)], { wanted: 2 }, 0, ''],
  ['failures elsewhere hold back none', [{ ...failedAgo(0), provider: 'local' }], { wanted: 1 }, 1, ''],
  ['failures do not leave', [failedAgo(0)], { wanted: 0 }, 0, ''],
  ['the last fifty, less the failed', [failedAgo(0)], { wanted: 100 }, 50, ''],

  ['the younger first', [{}, {}, {}], { wanted: 1 }, 0, 'cb'],
  ['none is wanted: all leave', [{}, {}], { wanted: 0 }, 0, 'ba'],
  ['those that never ran first, the younger of them first', [coming, {}, coming], { wanted: 1 }, 0, 'ca'],
  ['those that leave already are not told again', [{}, {}, leaving], { wanted: 1 }, 0, 'b'],
  ['nor those that are replaced', [{ replacedBy: 'b' }, coming, {}], { wanted: 1 }, 0, 'b'],
  ['a drained one stays: somebody wants to have it back', [drained, {}], { wanted: 1 }, 0, 'b'],
  ['also where it is all that is left', [drained, drained], { wanted: 1 }, 0, ''],
  ['nobody knows who is emptiest: none that runs leaves', [{}, {}], { wanted: 1, load: null }, 0, ''],
  ['but those that never ran do', [{}, coming, coming, {}], { wanted: 1, load: null }, 0, 'cb'],
  [
    'the emptiest first, by pins and tunnels together',
    many(4),
    {
      wanted: 1,
      load: {
        pins: new Map([
          ['a', 1],
          ['c', 3],
          ['d', 2],
        ]),
        tunnels: new Map([
          ['b', 2],
          ['d', 2],
        ]),
      },
    },
    0,
    'abc',
  ],
  [
    'the younger first among those that carry as much',
    many(3),
    { wanted: 1, load: { pins: new Map(), tunnels: new Map([['c', 1]]) } },
    0,
    'ba',
  ],
  [
    'one that never ran leaves before an empty one',
    [{}, coming],
    { wanted: 1, load: { pins: new Map(), tunnels: new Map() } },
    0,
    'b',
  ],
]

for (const [name, upstreams, said, order, leave] of rows)
  t.test(name, async (t) => {
    t.match(planned(fleet(...upstreams), said), { order, leave })
  })

t.test('its reason tells how many there are of how many', async (t) => {
  t.equal(planned(fleet({}, coming, leaving), { wanted: 5 }).reason, '2 of 5 wanted upstreams')
  t.match(planned(fleet({}), { wanted: null }).reason, /no size is wanted/)
})

t.test('an order that is carried out leads to what is wanted, and then to nothing', async (t) => {
  let upstreams = fleet({}, coming, leaving, failedAgo(coolDownMs))
  for (const wanted of [9, 0, 3]) {
    const { order, leave } = planSize(upstreams, facts({ wanted }))
    const ids = leave.map(({ id }) => id)
    const made = Array.from({ length: order }, (_, n) => upstreamRecord({ id: `new-${wanted}-${n}` }))
    upstreams = [...upstreams.map((one) => (ids.includes(one.id) ? { ...one, ...leaving } : one)), ...made]
    t.equal(upstreams.filter(stands).length, wanted)
    t.match(planned(upstreams, { wanted }), { order: 0, leave: '' })
  }
})

t.test("which upstreams are the provider's own", async (t) => {
  const own = { provider: 'local', place: 'here' }
  const record = { provider: 'local', addedBy: 'control', zone: 'here' } as const
  t.equal(isOwn(record, own), true)
  t.equal(isOwn({ ...record, addedBy: 'provider' }, own), true)
  t.equal(isOwn({ ...record, addedBy: 'operator' }, own), false)
  t.equal(isOwn({ ...record, provider: 'static' }, own), false)
  t.equal(isOwn({ ...record, zone: 'there' }, own), false)
  t.equal(isOwn({ ...record, zone: null }, own), false)
  t.equal(isOwn({ ...record, zone: 'there' }, { ...own, place: null }), true)
})
