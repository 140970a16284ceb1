import t from 'tap'
import {
  ejectMsOf,
  isEjectable,
  judge,
  noHistory,
  planAmnesty,
  planEjections,
  planReadmissions,
  planRelief,
  remember,
  roomToEject,
  strandedIn,
  type Suspect,
} from '../../src/control/ejection.ts'
import type { ProbeResult } from '../../src/control/probe.ts'
import type { UpstreamRecord } from '../../src/store/records.ts'
import { upstreamStates } from '../../src/types.ts'
import { noLife } from '../fixtures/life.ts'
import { upstream } from '../fixtures/snapshot.ts'

const nowMs = Date.UTC(2026, 5, 1)
const times = { ejectMs: 30_000, ejectMaxMs: 600_000 }

function record(id: string, more: Partial<UpstreamRecord> = {}): UpstreamRecord {
  return {
    ...upstream(id),
    ...noLife(id),
    addedBy: 'control',
    rowVersion: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    deletedAtMs: null,
    deletedBy: null,
    ...more,
  }
}

const fleetOf = (...upstreams: UpstreamRecord[]) => ({ nowMs, upstreams })
/** `up-1` to `up-<n>`, all running. */
const running = (n: number) => Array.from({ length: n }, (_, index) => record(`up-${index + 1}`))
const suspect = (id: string, more: Partial<Suspect> = {}): Suspect => ({
  ...upstream(id),
  bad: 3,
  problem: 'connection refused',
  ...more,
})
const ejected = (untilMs: number, ejections = 1) => ({ ejected: true, ejections, ejectedUntilMs: untilMs })
const kinds = (plan: readonly { kind: string; id: string }[]) => plan.map(({ kind, id }) => `${kind} ${id}`)

t.test('what probes saw', async (t) => {
  const good = (egressIp: string | null = null): ProbeResult => ({ ok: true, ms: 1, egressIp })
  const bad = (problem = 'connection refused'): ProbeResult => ({ ok: false, ms: 1, problem })
  const ours: ProbeResult = { ok: false, ms: 1, problem: 'this process stood still', isOurs: true }
  const after = (...results: ProbeResult[]) => results.reduce(remember, noHistory)

  const counts: { name: string; results: ProbeResult[]; good: number; bad: number }[] = [
    { name: 'none yet', results: [], good: 0, bad: 0 },
    { name: 'good ones in a row', results: [good(), good()], good: 2, bad: 0 },
    { name: 'bad ones in a row', results: [bad(), bad(), bad()], good: 0, bad: 3 },
    { name: 'a good one ends a row of bad ones', results: [bad(), bad(), good()], good: 1, bad: 0 },
    { name: 'a bad one ends a row of good ones', results: [good(), good(), bad()], good: 0, bad: 1 },
    { name: 'our own faults count neither way', results: [bad(), ours, bad(), ours], good: 0, bad: 2 },
    { name: 'and end no row', results: [good(), ours, good()], good: 2, bad: 0 },
  ]
  for (const { name, results, ...expected } of counts) t.match(after(...results), expected, name)
  t.match(after(bad('reset'), good(), bad('silent')), { problem: 'silent' }, 'the last problem is kept')

  const ip = '203.0.113.7'
  const seen: { name: string; results: ProbeResult[]; egressIp: string | null; egressTimes: number }[] = [
    { name: 'none yet', results: [bad()], egressIp: null, egressTimes: 0 },
    { name: 'once', results: [good(ip)], egressIp: ip, egressTimes: 1 },
    { name: 'twice', results: [good(ip), good(ip)], egressIp: ip, egressTimes: 2 },
    { name: 'a bad one sees nothing', results: [good(ip), bad(), good(ip)], egressIp: ip, egressTimes: 2 },
    { name: 'another', results: [good(ip), good('198.51.100.1')], egressIp: '198.51.100.1', egressTimes: 1 },
    { name: 'none any more', results: [good(ip), good(), good()], egressIp: null, egressTimes: 2 },
  ]
  for (const { name, results, ...expected } of seen)
    t.match(after(...results), expected, `egress IP: ${name}`)
})

t.test('so many in a row are needed', async (t) => {
  const needed = { good: 2, bad: 3 }
  for (const [good, bad, verdict] of [
    [0, 0, null],
    [1, 0, null],
    [2, 0, 'good'],
    [0, 2, null],
    [0, 3, 'bad'],
    [0, 4, 'bad'],
  ] as const)
    t.equal(judge({ ...noHistory, good, bad }, needed), verdict, `${good} good, ${bad} bad`)
})

t.test('the time of an ejection doubles, up to a limit', async (t) => {
  const doubled = [1, 2, 3, 5, 6, 60, 5000].map((ejections) => ejectMsOf(ejections, times))
  t.strictSame(doubled, [30_000, 60_000, 120_000, 480_000, 600_000, 600_000, 600_000])
})

t.test('room', async (t) => {
  const out = { ejected: true }
  const cases: [string, UpstreamRecord[], number][] = [
    ['nobody', [], 0],
    ['one alone is never ejected', running(1), 0],
    ['half of two', running(2), 1],
    ['half of three, rounded down', running(3), 1],
    ['half of four', running(4), 2],
    ['those that are ejected count', [...running(3), record('x', out)], 1],
    ['it is taken', [...running(2), record('x', out), record('y', out)], 0],
    [
      'only running ones count',
      [...running(2), record('d', { state: 'draining' }), record('p', { state: 'provisioning' })],
      1,
    ],
    [
      'so do only running ones among the ejected',
      [...running(2), record('d', { ...out, state: 'draining' })],
      1,
    ],
    [
      'those in quarantine carry nothing',
      [...running(2), record('q', { quarantined: true }), record('r', { quarantined: true })],
      1,
    ],
    [
      'but count where they are ejected',
      [...running(4), record('q', { ...out, quarantined: true }), record('r', { ...out, quarantined: true })],
      1,
    ],
  ]
  for (const [name, upstreams, room] of cases) t.equal(roomToEject(upstreams), room, name)
})

t.test('only what runs, takes jobs and is not ejected can be ejected', async (t) => {
  for (const state of upstreamStates) t.equal(isEjectable(record('a', { state })), state === 'running', state)
  t.equal(isEjectable(record('a', { ejected: true })), false)
  t.equal(isEjectable(record('a', { quarantined: true })), false)
})

t.test('ejecting', async (t) => {
  t.test('is a step with the time of its end, and how often in a row', async (t) => {
    const [ejection] = planEjections(fleetOf(...running(2)), [suspect('up-1')], times)
    t.strictSame(ejection, {
      kind: 'eject',
      id: 'up-1',
      forMs: 30_000,
      step: {
        kind: 'upstream_changed',
        id: 'up-1',
        from: { ejected: false, ejections: 0, ejectedUntilMs: null },
        to: { ejected: true, ejections: 1, ejectedUntilMs: nowMs + 30_000 },
      },
    })
  })

  t.test('takes the worst first, and stops at half of the fleet', async (t) => {
    const suspects = [suspect('up-1'), suspect('up-2', { bad: 5 }), suspect('up-4'), suspect('up-3')]
    t.strictSame(kinds(planEjections(fleetOf(...running(4)), suspects, times)), [
      'eject up-2',
      'eject up-1',
      'held up-3',
      'held up-4',
    ])
    t.strictSame(kinds(planEjections(fleetOf(...running(1)), suspects, times)), ['held up-1'])
  })

  t.test('looks at the row as it stands', async (t) => {
    const changed: [string, Partial<UpstreamRecord>][] = [
      ['ejected by another control', { ejected: true }],
      ['drained', { state: 'draining' }],
      ['being deleted', { state: 'deleting' }],
      ['in quarantine', { quarantined: true }],
      ['at another host', { host: '10.0.0.9' }],
      ['at another port', { port: 1 }],
      ['with other credentials', { credentials: 'other' }],
    ]
    for (const [name, more] of changed) {
      const content = fleetOf(...running(3), record('x', more))
      t.strictSame(planEjections(content, [suspect('x')], times), [], name)
    }
    t.strictSame(planEjections(fleetOf(...running(3)), [suspect('x')], times), [], 'gone')
  })

  t.test('comes no sooner than one ejection time after the last readmission', async (t) => {
    const back = (agoMs: number) => record('x', { ejections: 1, ejectedUntilMs: nowMs - agoMs })
    const plan = (agoMs: number) => planEjections(fleetOf(...running(3), back(agoMs)), [suspect('x')], times)
    t.strictSame(plan(29_999), [{ kind: 'early', id: 'x', forMs: 1 }])
    t.strictSame(kinds(plan(30_000)), ['eject x'])
  })

  t.test('an early one takes nobody room', async (t) => {
    const early = record('x', { ejections: 1, ejectedUntilMs: nowMs - 1 })
    const plan = planEjections(
      fleetOf(early, ...running(1)),
      [suspect('x', { bad: 9 }), suspect('up-1')],
      times,
    )
    t.strictSame(kinds(plan), ['early x', 'eject up-1'])
  })

  t.test('lasts longer each time in a row, and begins anew after ten times its last time', async (t) => {
    const cases: [string, number, number, number, number][] = [
      ['the second', 1, 299_999, 2, 60_000],
      ['calm since', 1, 300_000, 1, 30_000],
      ['the third', 2, 599_999, 3, 120_000],
      ['calm since the second', 2, 600_000, 1, 30_000],
      ['at the limit', 9, 5_999_999, 10, 600_000],
      ['calm since the longest', 9, 6_000_000, 1, 30_000],
    ]
    for (const [name, before, agoMs, ejections, forMs] of cases) {
      const back = record('x', { ejections: before, ejectedUntilMs: nowMs - agoMs })
      const [ejection] = planEjections(fleetOf(...running(3), back), [suspect('x')], times)
      const to = { ejected: true, ejections, ejectedUntilMs: nowMs + forMs }
      t.match(ejection, { kind: 'eject', forMs, step: { to } }, name)
    }
    const unknown = record('x', { ejections: 1, ejectedUntilMs: null })
    const [ejection] = planEjections(fleetOf(...running(3), unknown), [suspect('x')], times)
    t.match(ejection, { forMs: 60_000 }, 'where nobody knows since when it is good, it is not calm')
  })
})

t.test('readmitting', async (t) => {
  t.test('is a step that keeps when it was, for whoever asks how long it has been good', async (t) => {
    const x = record('x', ejected(nowMs - 5000, 3))
    t.strictSame(planReadmissions(fleetOf(x), [upstream('x')]), [
      {
        kind: 'readmit',
        id: 'x',
        step: {
          kind: 'upstream_changed',
          id: 'x',
          from: { ejected: true, ejectedUntilMs: nowMs - 5000 },
          to: { ejected: false, ejectedUntilMs: nowMs },
        },
      },
    ])
  })

  t.test('waits for the end of its time', async (t) => {
    const plan = (untilMs: number | null) =>
      planReadmissions(fleetOf(record('x', { ...ejected(0), ejectedUntilMs: untilMs })), [upstream('x')])
    t.strictSame(plan(nowMs + 1), [{ kind: 'early', id: 'x', forMs: 1 }])
    t.strictSame(kinds(plan(nowMs)), ['readmit x'])
    t.strictSame(kinds(plan(null)), ['readmit x'], 'without one it is over')
  })

  t.test('looks at the row as it stands', async (t) => {
    const over = ejected(nowMs - 1)
    t.strictSame(
      kinds(planReadmissions(fleetOf(record('x', { ...over, state: 'draining' })), [upstream('x')])),
      ['readmit x'],
    )
    for (const more of [{ ejected: false }, { state: 'deleting' }, { host: '10.0.0.9' }] as const)
      t.strictSame(planReadmissions(fleetOf(record('x', { ...over, ...more })), [upstream('x')]), [])
    t.strictSame(planReadmissions(fleetOf(), [upstream('x')]), [])
  })
})

t.test('where all others that took jobs have left', async (t) => {
  const out = ejected(nowMs + 60_000)
  const drained = record('d', { state: 'draining' })
  const inQuarantine = record('q', { quarantined: true })
  const cases: [string, UpstreamRecord[], string[]][] = [
    ['one that is left alone', [record('a', out), drained], ['a']],
    [
      'half of those that are left, rounded up',
      [record('a', out), record('b', out), record('c', out)],
      ['a', 'b'],
    ],
    ['those in quarantine take no jobs', [record('a', out), inQuarantine], ['a']],
    ['and stay out themselves', [record('q', { ...out, quarantined: true })], []],
    ['one that takes jobs is enough', [record('a', out), record('b', out), record('c')], []],
    ['nobody is there at all', [drained], []],
  ]
  for (const [name, upstreams, ids] of cases) {
    t.strictSame(
      kinds(planRelief(fleetOf(...upstreams), () => 0)),
      ids.map((id) => `readmit ${id}`),
      name,
    )
    t.equal(strandedIn(upstreams).length > 0, ids.length > 0, name)
  }

  t.test('the best comes first, then the one whose time ends first', async (t) => {
    const fleet = fleetOf(
      record('a', ejected(nowMs + 3)),
      record('b', ejected(nowMs + 2)),
      record('c', ejected(nowMs + 1)),
      record('d', ejected(nowMs + 9)),
    )
    t.strictSame(kinds(planRelief(fleet, (id) => (id === 'd' ? 1 : 0))), ['readmit d', 'readmit c'])
  })

  t.test('and then there is no room: it stays in', async (t) => {
    for (const n of [1, 2, 3, 4, 5]) {
      const fleet = Array.from({ length: n }, (_, index) => record(`up-${index}`, out))
      const back = new Set(planRelief(fleetOf(...fleet), () => 0).map(({ id }) => id))
      t.equal(
        roomToEject(fleet.map((one) => (back.has(one.id) ? { ...one, ejected: false } : one))),
        0,
        `${n}`,
      )
    }
  })
})

t.test('where probes are switched off nobody stays ejected', async (t) => {
  const out = ejected(nowMs + 60_000)
  const fleet = fleetOf(
    record('a', out),
    record('b'),
    record('c', { ...out, state: 'draining' }),
    record('d', { ...out, state: 'deleting' }),
    record('e', { ...out, quarantined: true }),
  )
  t.strictSame(kinds(planAmnesty(fleet)), ['readmit a', 'readmit c', 'readmit e'])
})
