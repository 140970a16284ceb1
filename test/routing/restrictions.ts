import fc from 'fast-check'
import t from 'tap'
import { laneName } from '../../src/lane.ts'
import { rendezvousOrder } from '../../src/routing/rendezvous.ts'
import {
  eligible,
  makeHasEligible,
  makeIsForbidden,
  matchesLane,
  selects,
  unknownIds,
  type Eligibility,
} from '../../src/routing/restrictions.ts'
import type { Lane, Restriction, Snapshot, Upstream, UpstreamSelector } from '../../src/types.ts'
import { upstreamStates } from '../../src/types.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

const lane = (type = '*', institution = '*'): Lane => ({ type, institution })
const payment = lane('payment', 'bank-a')
const statement = lane('statement', 'bank-a')

/** `payment`, `payment:bank-a` or `*:bank-a`, as people say lanes. */
const pattern = (words: string) => {
  const [type = '*', institution = '*'] = words.split(':')
  return { type, institution }
}
const ids = (...ids: string[]): UpstreamSelector => ({ ids })
const pool = (pool: string): UpstreamSelector => ({ labels: { pool } })

const exclusive = (words: string, upstreams: UpstreamSelector, overflow = false): Restriction => {
  return { id: `only-${words}`, kind: 'exclusive', ...pattern(words), upstreams, overflow }
}
const deny = (words: string, upstreams: UpstreamSelector): Restriction => {
  return { id: `no-${words}`, kind: 'deny', ...pattern(words), upstreams, overflow: false }
}

/** a and b in pool p, c in pool q, d in none. */
const four = [
  makeUpstream({ id: 'a', labels: { pool: 'p', zone: '1' } }),
  makeUpstream({ id: 'b', labels: { pool: 'p', zone: '2' } }),
  makeUpstream({ id: 'c', labels: { pool: 'q', zone: '2' } }),
  makeUpstream({ id: 'd' }),
]
/** The four, some of them changed: `{ a: { ejected: true } }`. */
const fourBut = (changes: { readonly [id: string]: Partial<Upstream> }) =>
  four.map((upstream) => ({ ...upstream, ...changes[upstream.id] }))

const decide = (lane: Lane, restrictions: readonly Restriction[], upstreams: readonly Upstream[] = four) =>
  eligible(lane, { upstreams, restrictions })

/** `a b`, whatever the rendezvous order. */
const namesOf = ({ eligible }: Eligibility) =>
  eligible
    .map(({ id }) => id)
    .sort()
    .join(' ')

t.test('who may serve a lane', async (t) => {
  const forPayments = exclusive('payment', pool('p'))
  const mayOverflow = exclusive('payment', pool('p'), true)
  const rows: [name: string, lane: Lane, rules: Restriction[], eligible: string, upstreams?: Upstream[]][] = [
    ['no rule: all that run', payment, [], 'a b c d'],
    ['no upstream at all', payment, [], '', []],
    [
      'only upstreams in state running',
      payment,
      [],
      'd',
      fourBut({ a: { state: 'provisioning' }, b: { state: 'draining' }, c: { state: 'failed' } }),
    ],
    ['not ejected', payment, [], 'b c d', fourBut({ a: { ejected: true } })],
    ['not quarantined', payment, [], 'b c d', fourBut({ a: { quarantined: true } })],

    ['exclusive: a lane that matches uses only those', payment, [forPayments], 'a b'],
    ['exclusive: those serve only lanes that match', statement, [forPayments], 'c d'],
    ['exclusive: a job without a type does not match a rule that names one', lane(), [forPayments], 'c d'],
    ['exclusive: a rule for any lane matches such a job', lane(), [exclusive('*', pool('p'))], 'a b'],
    ['exclusive: the institution must match too', payment, [exclusive('payment:bank-b', pool('p'))], 'c d'],
    ['exclusive: any type of one institution', statement, [exclusive('*:bank-a', pool('p'))], 'a b'],
    ['exclusive: by id', payment, [exclusive('payment', ids('d'))], 'd'],
    [
      'exclusive: two rules for different lanes on the same upstream, the first lane',
      payment,
      [forPayments, exclusive('statement', ids('a'))],
      'a b',
    ],
    ['the second lane', statement, [forPayments, exclusive('statement', ids('a'))], 'a'],
    ['and a third', lane('report'), [forPayments, exclusive('statement', ids('a'))], 'c d'],
    [
      'exclusive: a lane that matches two rules uses the upstreams of both',
      payment,
      [forPayments, exclusive('*:bank-a', pool('q'))],
      'a b c',
    ],
    [
      'an exclusive rule is not bent because nothing runs',
      payment,
      [forPayments],
      '',
      fourBut({ a: { state: 'draining' }, b: { ejected: true } }),
    ],
    ['nor because it selects nothing', payment, [exclusive('payment', pool('nowhere'))], ''],
    [
      'a rule that selects nothing leaves others alone',
      statement,
      [exclusive('payment', pool('nowhere'))],
      'a b c d',
    ],

    ['overflow: not while one of them runs', payment, [mayOverflow], 'b', fourBut({ a: { ejected: true } })],
    [
      'overflow: when none of them runs or all are ejected',
      payment,
      [mayOverflow],
      'c d',
      fourBut({ a: { state: 'draining' }, b: { ejected: true } }),
    ],
    ['overflow: when none was selected', payment, [exclusive('payment', pool('nowhere'), true)], 'a b c d'],
    [
      'overflow: not onto what is exclusive to others',
      payment,
      [mayOverflow, exclusive('statement', pool('q'))],
      'd',
      fourBut({ a: { ejected: true }, b: { ejected: true } }),
    ],
    [
      'overflow: others get nothing of those, running or not',
      statement,
      [mayOverflow],
      'c d',
      fourBut({ a: { ejected: true }, b: { ejected: true } }),
    ],
    [
      'overflow: a quarantined one runs, so there is none',
      payment,
      [mayOverflow],
      '',
      fourBut({ a: { quarantined: true }, b: { ejected: true } }),
    ],
    [
      'overflow: one that is denied runs, so there is none',
      payment,
      [mayOverflow, deny('payment', pool('p'))],
      '',
    ],
    [
      'overflow: of two rules, one without it holds the lane',
      payment,
      [mayOverflow, exclusive('*:bank-a', ids('a'))],
      '',
      fourBut({ a: { ejected: true }, b: { ejected: true } }),
    ],
    [
      'overflow: of two rules with it, one whose upstreams run holds the lane',
      payment,
      [mayOverflow, exclusive('*:bank-a', pool('q'), true)],
      'c',
      fourBut({ a: { ejected: true }, b: { ejected: true } }),
    ],
    [
      'overflow: of two rules with it, none of whose upstreams run',
      payment,
      [mayOverflow, exclusive('*:bank-a', pool('q'), true)],
      'd',
      fourBut({ a: { ejected: true }, b: { ejected: true }, c: { ejected: true } }),
    ],

    ['deny: those do not serve lanes that match', payment, [deny('payment', pool('p'))], 'c d'],
    ['deny: others they do', statement, [deny('payment', pool('p'))], 'a b c d'],
    [
      'deny: a job without a type does not match a rule that names one',
      lane(),
      [deny('payment', pool('p'))],
      'a b c d',
    ],
    ['deny: everybody', lane(), [deny('*', pool('p'))], 'c d'],
    ['deny: one institution', payment, [deny('payment:bank-b', pool('p'))], 'a b c d'],
    ['deny beats exclusive', payment, [forPayments, deny('payment', ids('a'))], 'b'],
    ['whichever comes first', payment, [deny('payment', ids('a')), forPayments], 'b'],
    [
      'deny beats exclusive, and the rule is not bent',
      payment,
      [forPayments, deny('*:bank-a', pool('p'))],
      '',
    ],
    ['deny of all upstreams', payment, [deny('payment', ids('a', 'b', 'c', 'd'))], ''],

    ['a selector by an id that is not there', payment, [deny('payment', ids('z'))], 'a b c d'],
    ['by no ids', payment, [deny('payment', ids())], 'a b c d'],
    ['by no labels: selects nothing', payment, [deny('payment', { labels: {} })], 'a b c d'],
    [
      'exclusive by no labels: others are left alone',
      statement,
      [exclusive('payment', { labels: {} })],
      'a b c d',
    ],
    ['by a label that no upstream has', payment, [deny('payment', { labels: { tier: 'p' } })], 'a b c d'],
    [
      'by two labels: both must be there',
      payment,
      [deny('payment', { labels: { pool: 'p', zone: '2' } })],
      'a c d',
    ],
    [
      'by two labels in another order',
      payment,
      [deny('payment', { labels: { zone: '2', pool: 'q' } })],
      'a b d',
    ],
    [
      'by two labels of different upstreams',
      payment,
      [deny('payment', { labels: { pool: 'q', zone: '1' } })],
      'a b c d',
    ],
    ['by the same id twice', payment, [deny('payment', ids('a', 'a'))], 'b c d'],
    [
      'by a label named like a part of every object',
      payment,
      [deny('payment', { labels: { constructor: 'x' } })],
      'a b c d',
    ],
    [
      'by __proto__, from JSON',
      payment,
      [deny('payment', JSON.parse('{"labels":{"__proto__":"x"}}') as UpstreamSelector)],
      'a b c d',
    ],
    [
      'a label also catches upstreams made later',
      payment,
      [deny('payment', pool('p'))],
      'c d',
      [...four, makeUpstream({ id: 'e', labels: { pool: 'p' } })],
    ],
  ]
  for (const [name, lane, rules, expected, upstreams] of rows) {
    t.equal(namesOf(decide(lane, rules, upstreams)), expected, name)
  }
})

t.test('why not the others', async (t) => {
  const only = exclusive('payment', pool('p'))
  const no = deny('payment', ids('a'))
  const rows: [name: string, lane: Lane, rules: Restriction[], expected: string[], upstreams?: Upstream[]][] =
    [
      ['nothing is refused', payment, [], []],
      [
        'states, by their names',
        payment,
        [],
        ['a provisioning null', 'b draining null', 'c deleting null', 'd failed null'],
        fourBut({
          a: { state: 'provisioning' },
          b: { state: 'draining' },
          c: { state: 'deleting' },
          d: { state: 'failed' },
        }),
      ],
      [
        'set aside',
        payment,
        [],
        ['a ejected null', 'b quarantined null', 'c quarantined null'],
        fourBut({ a: { ejected: true }, b: { quarantined: true }, c: { quarantined: true, ejected: true } }),
      ],
      ['denied', payment, [no], ['a denied no-payment']],
      [
        'exclusive to others',
        statement,
        [only],
        ['a kept_for_others only-payment', 'b kept_for_others only-payment'],
      ],
      [
        'a lane kept elsewhere',
        payment,
        [only],
        ['c lane_kept_elsewhere only-payment', 'd lane_kept_elsewhere only-payment'],
      ],
      [
        'both: the upstream\u2019s own rule is named',
        payment,
        [only, exclusive('statement', pool('q'))],
        ['c kept_for_others only-statement', 'd lane_kept_elsewhere only-payment'],
      ],
      [
        'the rule that holds the lane, not the one that would let it go',
        payment,
        [exclusive('payment', pool('p'), true), exclusive('*:bank-a', ids('c'))],
        ['a ejected null', 'b ejected null', 'd lane_kept_elsewhere only-*:bank-a'],
        fourBut({ a: { ejected: true }, b: { ejected: true } }),
      ],
      ['the first of two rules', payment, [deny('*:bank-a', ids('a')), no], ['a denied no-*:bank-a']],
      [
        'a state before a rule, a rule before what passes',
        payment,
        [deny('payment', ids('a', 'b'))],
        ['a draining null', 'b denied no-payment'],
        fourBut({ a: { state: 'draining' }, b: { ejected: true } }),
      ],
      [
        'deny before exclusive',
        statement,
        [only, deny('statement', ids('a'))],
        ['a denied no-statement', 'b kept_for_others only-payment'],
      ],
    ]
  for (const [name, lane, rules, expected, upstreams] of rows) {
    const { refused } = decide(lane, rules, upstreams)
    const found = refused.map(({ upstream, reason, restriction }) => `${upstream} ${reason} ${restriction}`)
    t.same(found, expected, name)
  }
})

t.test('the eligible come in the rendezvous order of the lane', async (t) => {
  const upstreams = Array.from({ length: 20 }, (_, i) => makeUpstream({ id: `up-${i}` }))
  const orders = ['bank-a', 'bank-b', 'bank-c'].map((institution) => {
    const asked = lane('payment', institution)
    const found = decide(asked, [], upstreams).eligible
    t.same(found, rendezvousOrder(laneName(asked), upstreams), institution)
    return found.map(({ id }) => id).join()
  })
  t.equal(new Set(orders).size, 3, 'which is another for each lane')
})

t.test('a thousand lanes begin all over the fleet', async (t) => {
  const upstreams = Array.from({ length: 10 }, (_, i) => makeUpstream({ id: `up-${i}` }))
  const firsts = new Map<string, number>()
  for (let i = 0; i < 1000; i++) {
    const { id } = decide(lane('payment', `bank-${i}`), [], upstreams).eligible[0]!
    firsts.set(id, (firsts.get(id) ?? 0) + 1)
  }
  t.equal(firsts.size, 10)
  t.ok(
    Math.max(...firsts.values()) <= 200,
    `at most ${Math.max(...firsts.values())} of 1,000 on one, mean 100`,
  )
})

t.test('which lanes a rule matches', async (t) => {
  const rows: [rule: string, lane: Lane, matches: boolean][] = [
    ['*:*', lane(), true],
    ['*:*', payment, true],
    ['payment:*', payment, true],
    ['payment:*', lane('payment'), true],
    ['payment:*', lane(), false],
    ['payment:*', statement, false],
    ['*:bank-a', payment, true],
    ['*:bank-a', lane('payment'), false],
    ['payment:bank-a', payment, true],
    ['payment:bank-a', lane('payment'), false],
    ['payment:bank-a', lane('payment', 'bank-b'), false],
    ['payment:bank-a', lane('Payment', 'bank-a'), false],
  ]
  for (const [rule, lane, matches] of rows)
    t.equal(matchesLane(pattern(rule), lane), matches, `${rule} and ${laneName(lane)}`)
})

const word = fc.constantFrom('*', 'x', 'y')
const labels = fc.dictionary(fc.constantFrom('pool', 'zone', '__proto__'), fc.constantFrom('1', '2'), {
  maxKeys: 2,
})
const id = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
const someUpstreams = fc.uniqueArray(id).chain((ids) =>
  fc.tuple(
    ...ids.map((id) =>
      fc
        .record({
          state: fc.oneof(
            { weight: 3, arbitrary: fc.constant('running' as const) },
            fc.constantFrom(...upstreamStates),
          ),
          labels,
          ejected: fc.integer({ max: 2, min: 0 }).map((dice) => dice === 0),
          quarantined: fc.integer({ max: 4, min: 0 }).map((dice) => dice === 0),
        })
        .map((more) => makeUpstream({ id, ...more })),
    ),
  ),
)
const selector: fc.Arbitrary<UpstreamSelector> = fc.oneof(
  fc.record({ ids: fc.array(id, { maxLength: 3 }) }),
  fc.record({ labels }),
)
const rule = fc.record<Restriction>({
  id: fc.constantFrom('r1', 'r2', 'r3', 'r4'),
  kind: fc.constantFrom('exclusive', 'deny'),
  type: word,
  institution: word,
  upstreams: selector,
  overflow: fc.boolean(),
})
const snapshot: fc.Arbitrary<Snapshot> = fc.record({
  version: fc.constant(1),
  upstreams: someUpstreams,
  restrictions: fc.array(rule, { maxLength: 4 }),
})
const someLane = fc.record<Lane>({ type: word, institution: word })

const eligibleIds = (lane: Lane, snapshot: Snapshot) => eligible(lane, snapshot).eligible.map(({ id }) => id)

/** Section 6 once more, sentence by sentence and as slow as it likes. */
function mayServe(upstream: Upstream, lane: Lane, { upstreams, restrictions }: Snapshot): boolean {
  const rules = restrictions.filter(({ kind }) => kind === 'exclusive')
  const itsRules = rules.filter((rule) => selects(rule.upstreams, upstream))
  const lanesRules = rules.filter((rule) => matchesLane(rule, lane))
  const isHeld = lanesRules.some(
    (rule) =>
      !rule.overflow ||
      upstreams.some((one) => selects(rule.upstreams, one) && one.state === 'running' && !one.ejected),
  )
  const isDenied = restrictions.some(
    (rule) => rule.kind === 'deny' && matchesLane(rule, lane) && selects(rule.upstreams, upstream),
  )
  return (
    upstream.state === 'running' &&
    !upstream.ejected &&
    !upstream.quarantined &&
    !isDenied &&
    (itsRules.length === 0 || itsRules.some((rule) => matchesLane(rule, lane))) &&
    (!isHeld || lanesRules.some((rule) => selects(rule.upstreams, upstream)))
  )
}

t.test('for any fleet, rules and lane', async (t) => {
  const many = { numRuns: 3000 }
  await t.test('the indexed answer is the one that the sentences give', async () => {
    fc.assert(
      fc.property(someLane, snapshot, (lane, snapshot) => {
        const expected = snapshot.upstreams.filter((upstream) => mayServe(upstream, lane, snapshot))
        return (
          eligibleIds(lane, snapshot).sort().join() ===
          expected
            .map(({ id }) => id)
            .sort()
            .join()
        )
      }),
      many,
    )
  })
  await t.test('every upstream is either eligible or refused, once', async () => {
    fc.assert(
      fc.property(someLane, snapshot, (lane, snapshot) => {
        const { eligible: left, refused } = eligible(lane, snapshot)
        const all = [...left.map(({ id }) => id), ...refused.map(({ upstream }) => upstream)]
        return (
          all.sort().join() ===
          snapshot.upstreams
            .map(({ id }) => id)
            .sort()
            .join()
        )
      }),
      many,
    )
  })
  await t.test('a denied upstream never serves', async () => {
    fc.assert(
      fc.property(someLane, snapshot, (lane, snapshot) =>
        eligible(lane, snapshot).eligible.every((upstream) =>
          snapshot.restrictions.every(
            (rule) => rule.kind !== 'deny' || !matchesLane(rule, lane) || !selects(rule.upstreams, upstream),
          ),
        ),
      ),
      many,
    )
  })
  await t.test('one more deny never adds an upstream', async () => {
    fc.assert(
      fc.property(someLane, snapshot, rule, (lane, snapshot, rule) => {
        const restrictions = [...snapshot.restrictions, { ...rule, kind: 'deny' as const }]
        const before = new Set(eligibleIds(lane, snapshot))
        return eligibleIds(lane, { ...snapshot, restrictions }).every((id) => before.has(id))
      }),
      many,
    )
  })
  await t.test('an upstream that goes reorders no other', async () => {
    fc.assert(
      fc.property(someLane, someUpstreams, fc.nat(), (lane, upstreams, pick) => {
        const gone = upstreams[pick % Math.max(upstreams.length, 1)]
        const rest = upstreams.filter((upstream) => upstream !== gone)
        const before = eligibleIds(lane, { version: 1, upstreams, restrictions: [] })
        const after = eligibleIds(lane, { version: 1, upstreams: rest, restrictions: [] })
        return before.filter((id) => id !== gone?.id).join() === after.join()
      }),
    )
  })
  const byRule = ['denied', 'kept_for_others', 'lane_kept_elsewhere']
  await t.test('whether a lane has any upstream is the same question', async () => {
    fc.assert(
      fc.property(someLane, snapshot, (lane, snapshot) => {
        return makeHasEligible(snapshot)(lane) === eligible(lane, snapshot).eligible.length > 0
      }),
    )
  })
  await t.test('an upstream that runs is forbidden exactly where a rule is the reason', async () => {
    fc.assert(
      fc.property(fc.array(someLane, { minLength: 1 }), snapshot, (lanes, snapshot) => {
        const isForbidden = makeIsForbidden(snapshot)
        return [...lanes, ...lanes].every((lane) => {
          const { refused } = eligible(lane, snapshot)
          const running = snapshot.upstreams.filter(({ state }) => state === 'running')
          return running.every(({ id }) => {
            const reason = refused.find(({ upstream }) => upstream === id)?.reason
            return isForbidden(lane, id) === byRule.includes(reason ?? '')
          })
        })
      }),
    )
  })
  await t.test('a rule is named exactly where one is the reason', async () => {
    fc.assert(
      fc.property(someLane, snapshot, (lane, snapshot) =>
        eligible(lane, snapshot).refused.every(
          ({ reason, restriction }) => byRule.includes(reason) === (restriction !== null),
        ),
      ),
    )
  })
})

t.test(
  'what a rule forbids does not depend on the state of the upstream, nor on one that has left',
  async (t) => {
    const upstreams = fourBut({ a: { state: 'draining' }, b: { quarantined: true } })
    const isForbidden = makeIsForbidden({ upstreams, restrictions: [deny('payment', pool('p'))] })
    t.ok(isForbidden(payment, 'a') && isForbidden(payment, 'b'))
    t.notOk(isForbidden(statement, 'a') || isForbidden(payment, 'c') || isForbidden(payment, 'gone'))
  },
)

t.test('ids that the fleet does not have', async (t) => {
  t.same(unknownIds(ids('a', 'x', 'd', 'y'), four), ['x', 'y'])
  t.same(unknownIds(pool('nobody'), four), [])
})

t.test('a large fleet with many rules: 10,000 upstreams, 1,000 rules', async (t) => {
  const upstreams = Array.from({ length: 10_000 }, (_, i) =>
    makeUpstream({ id: `up-${i}`, labels: { pool: `p${i % 100}`, zone: `z${i % 5}`, all: 'yes' } }),
  )
  const rows: [name: string, selector: (i: number) => UpstreamSelector][] = [
    ['by 20 ids', (i) => ids(...Array.from({ length: 20 }, (_, k) => `up-${(i * 20 + k) % 10_000}`))],
    ['by a label', (i) => pool(`p${i % 100}`)],
    ['by two labels', (i) => ({ labels: { zone: `z${i % 5}`, pool: `p${i % 100}` } })],
    ['by labels that most have', (i) => ({ labels: { all: 'yes', zone: `z${i % 5}` } })],
  ]
  for (const [name, selector] of rows) {
    const restrictions = Array.from({ length: 1000 }, (_, i) => {
      const make = i % 2 ? deny : exclusive
      return make(`${i % 3 ? `type-${i % 50}` : '*'}:bank-${i % 200}`, selector(i))
    })
    const startMs = performance.now()
    for (let i = 0; i < 5; i++) decide(lane(`type-${i}`, `bank-${i}`), restrictions, upstreams)
    const ms = (performance.now() - startMs) / 5
    // About 10 ms here; one rule at a time over all upstreams takes seconds.
    t.ok(ms < 200, `${name}: ${ms.toFixed(1)} ms a lane`)
  }
})
