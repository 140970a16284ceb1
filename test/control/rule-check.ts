import t from 'tap'
import { refuseNamingNothing, refuseStranding } from '../../src/control/rule-check.ts'
import type { Lane, Restriction, UpstreamSelector } from '../../src/types.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const upstreams = [
  makeUpstream({ id: 'a', labels: { pool: 'p' } }),
  makeUpstream({ id: 'b', labels: { pool: 'p' } }),
  makeUpstream({ id: 'c', labels: { pool: 'q' } }),
]
const rule = (upstreams: UpstreamSelector, more: Partial<Restriction> = {}): Restriction => {
  return { id: 'r', kind: 'deny', type: '*', institution: '*', upstreams, overflow: false, ...more }
}
const lane = (type: string, institution = '*'): Lane => ({ type, institution })
const fleet = (...restrictions: Restriction[]) => ({ upstreams, restrictions })

t.test('a rule must select something that is there', async (t) => {
  const rows: [name: string, selector: UpstreamSelector, refused: RegExp | null][] = [
    ['an id', { ids: ['a'] }, null],
    ['labels', { labels: { pool: 'q' } }, null],
    ['an id that is not there', { ids: ['x'] }, /not in the fleet: x\./],
    ['one of two ids is not there', { ids: ['a', 'x'] }, /: x\./],
    ['many that are not there', { ids: ['1', '2', '3', '4', '5', '6', '7'] }, /: 1, 2, 3, 4, 5 and 2 more\./],
    ['labels that nobody has', { labels: { pool: 'z' } }, /\{"pool":"z"\}.*still to come/],
    ['labels that no single one has', { labels: { pool: 'p', zone: '1' } }, /selects no upstream/],
  ]
  for (const [name, selector, refused] of rows) {
    const check = () => refuseNamingNothing(rule(selector), fleet())
    if (refused === null) t.doesNotThrow(check, name)
    else t.throws(check, { code: 'names_nothing', detail: refused }, name)
  }
})

t.test('a rule of kind targets selects nothing, on purpose', async (t) => {
  const targets = rule({ ids: [] }, { id: 'only', kind: 'targets', targets: ['bank.example'] })
  t.doesNotThrow(() => refuseNamingNothing(targets, fleet()))
  t.doesNotThrow(() => refuseStranding([lane('payment')], fleet(), fleet(targets)))
  const before = fleet(rule({ labels: { pool: 'p' } }, { id: 'only', kind: 'exclusive', type: 'payment' }))
  t.doesNotThrow(() => refuseStranding([lane('payment'), lane('x')], before, fleet(targets)))
  t.throws(
    () => refuseNamingNothing(rule({ ids: ['x'] }, { kind: 'exclusive', targets: ['a.b'] }), fleet()),
    { code: 'names_nothing' },
    'an exclusive one still has to',
  )
})

t.test('no lane in use may lose its last upstream', async (t) => {
  const all = rule({ ids: ['a', 'b', 'c'] })
  const payments = rule({ labels: { pool: 'p' } }, { id: 'only', kind: 'exclusive', type: 'payment' })
  const everyPool = rule({ ids: ['a', 'b', 'c'] }, { kind: 'exclusive', type: 'payment' })
  const rows: [
    name: string,
    lanes: Lane[],
    before: Restriction[],
    after: Restriction[],
    refused: RegExp | null,
  ][] = [
    ['none is left', [lane('payment')], [], [all], /a lane in use: payment:\*\. Its jobs would get 503/],
    ['some are left', [lane('payment')], [], [rule({ ids: ['a', 'b'] })], null],
    ['a lane that nobody uses', [], [], [all], null],
    [
      'others lose theirs by an exclusive rule',
      [lane('statement', 'bank-a')],
      [],
      [everyPool],
      /statement:bank-a/,
    ],
    ['it had none before', [lane('payment')], [all], [all, payments], null],
    [
      'a rule that goes can strand too',
      [lane('payment')],
      [rule({ ids: ['c'] }, { id: 'c-only', kind: 'exclusive', type: 'payment' }), rule({ ids: ['a', 'b'] })],
      [rule({ ids: ['c'] }, { id: 'c-other', kind: 'exclusive', type: 'x' }), rule({ ids: ['a', 'b'] })],
      /payment:\*/,
    ],
    ['several', [lane('x'), lane('y')], [], [all], /2 lanes in use: x:\*, y:\*/],
  ]
  for (const [name, lanes, before, after, refused] of rows) {
    const check = () => refuseStranding(lanes, fleet(...before), fleet(...after))
    if (refused === null) t.doesNotThrow(check, name)
    else t.throws(check, { code: 'lane_without_upstream', detail: refused }, name)
  }
})

t.test(
  'an ejected upstream counts as there, since it comes back by itself; a quarantined one does not',
  async (t) => {
    const [a, b] = [makeUpstream({ id: 'a' }), makeUpstream({ id: 'b' })]
    const noB = rule({ ids: ['b'] })
    const check = (upstreams: (typeof a)[]) => () =>
      refuseStranding([lane('x')], { upstreams, restrictions: [] }, { upstreams, restrictions: [noB] })
    t.doesNotThrow(check([{ ...a, ejected: true }, b]))
    t.throws(check([{ ...a, quarantined: true }, b]), { code: 'lane_without_upstream' })
  },
)
