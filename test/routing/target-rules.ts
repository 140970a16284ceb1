import t from 'tap'
import { canonicalIPv6, parseHost } from '../../src/routing/host.ts'
import { eligible } from '../../src/routing/restrictions.ts'
import { makeTargetRules, targetRefused, type TargetVerdict } from '../../src/routing/target-rules.ts'
import type { Lane, Restriction } from '../../src/types.ts'
import { snapshot } from '../fixtures/snapshot.ts'

const lane = (type = '*', institution = '*'): Lane => ({ type, institution })
const payment = lane('payment', 'bank-a')
const statement = lane('statement', 'bank-a')

/** `payment`, `payment:bank-a` or `*:bank-a`. */
function only(words: string, targets: readonly string[], more: Partial<Restriction> = {}): Restriction {
  const [type = '*', institution = '*'] = words.split(':')
  const id = `${more.report ? 'report' : 'only'}-${words}`
  return { id, kind: 'targets', type, institution, upstreams: { ids: [] }, overflow: false, targets, ...more }
}
const report = (words: string, targets: readonly string[]) => only(words, targets, { report: true })

/** `refused only-payment`, `allowed` */
const inWords = (verdict: TargetVerdict) =>
  verdict.kind === 'allowed' ? verdict.kind : `${verdict.kind} ${verdict.restrictions.join(' ')}`
const judge = (lane: Lane, host: string, rules: readonly Restriction[]) =>
  inWords(makeTargetRules(rules).judge(lane, parseHost(host)))

t.test('which rules speak for a lane', async (t) => {
  const bank = only('payment', ['bank.example'])
  const rows: [name: string, lane: Lane, host: string, rules: Restriction[], verdict: string][] = [
    ['no rule: anything', payment, 'other.example', [], 'allowed'],
    ['a rule: what it names', payment, 'bank.example', [bank], 'allowed'],
    ['a rule: nothing else', payment, 'other.example', [bank], 'refused only-payment'],
    ['another lane is free', statement, 'other.example', [bank], 'allowed'],
    ['a job that names no type is in another lane', lane(), 'other.example', [bank], 'allowed'],
    ['a rule for any lane', lane(), 'other.example', [only('*', ['bank.example'])], 'refused only-*'],
    ['the institution must match', payment, 'other.example', [only('payment:bank-b', ['x.y'])], 'allowed'],
    [
      'any type of one institution',
      statement,
      'x.y',
      [only('*:bank-a', ['bank.example'])],
      'refused only-*:bank-a',
    ],
    [
      'what any of the matching rules names',
      payment,
      'b.example',
      [bank, only('*:bank-a', ['b.example'])],
      'allowed',
    ],
    [
      'and nothing that none names: all of them say so',
      payment,
      'c.example',
      [bank, only('*:bank-a', ['b.example'])],
      'refused only-payment only-*:bank-a',
    ],
    [
      'an exclusive rule may say it too',
      payment,
      'other.example',
      [{ ...bank, kind: 'exclusive', upstreams: { ids: ['a'] } }],
      'refused only-payment',
    ],
    [
      'a rule without targets says nothing',
      payment,
      'other.example',
      [{ ...bank, targets: null }],
      'allowed',
    ],
    [
      'a rule that names nothing allows nothing',
      payment,
      'a.b',
      [only('payment', [])],
      'refused only-payment',
    ],
    [
      'report: told and let through',
      payment,
      'x.y',
      [report('payment', ['bank.example'])],
      'reported report-payment',
    ],
    ['report: what it names', payment, 'bank.example', [report('payment', ['bank.example'])], 'allowed'],
    [
      'report is silent beside a rule that enforces',
      payment,
      'bank.example',
      [bank, report('*', ['x.y'])],
      'allowed',
    ],
    ['and adds nothing to it', payment, 'x.y', [report('*', ['x.y']), bank], 'refused only-payment'],
    [
      'report: what any of them names',
      payment,
      'x.y',
      [report('payment', ['bank.example']), report('*', ['x.y'])],
      'allowed',
    ],
    ['report: another lane', statement, 'x.y', [report('payment', ['bank.example'])], 'allowed'],
  ]
  for (const [name, lane, host, rules, verdict] of rows) t.equal(judge(lane, host, rules), verdict, name)
})

t.test('what a pattern names', async (t) => {
  const rows: [name: string, pattern: string, host: string, isNamed: boolean][] = [
    ['a name', 'bank.example', 'bank.example', true],
    ['a name in upper case', 'bank.example', 'BANK.Example', true],
    ['a name with a dot at its end', 'bank.example', 'bank.example.', true],
    ['a pattern in another spelling', 'Bank.Example.', 'bank.example', true],
    ['not what is below it', 'bank.example', 'api.bank.example', false],
    ['not what ends like it', 'bank.example', 'notbank.example', false],
    ['not what begins like it', 'bank.example', 'bank.example.evil.test', false],
    ['below a name', '*.bank.example', 'api.bank.example', true],
    ['far below a name', '*.bank.example', 'a.b.c.bank.example', true],
    ['below a name in upper case, with a dot', '*.bank.example', 'API.Bank.Example.', true],
    ['not itself', '*.bank.example', 'bank.example', false],
    ['not what only ends like it', '*.bank.example', 'evilbank.example', false],
    ['not above it', '*.api.bank.example', 'bank.example', false],
    ['an xn-- name by its xn-- form', 'xn--bnk-qla.example', 'XN--bnk-qla.example', true],
    ['not by what it looks like', 'xn--bnk-qla.example', 'bank.example', false],
    ['an address', '203.0.113.7', '203.0.113.7', true],
    ['not the next one', '203.0.113.7', '203.0.113.8', false],
    ['an address in a range', '203.0.113.0/24', '203.0.113.255', true],
    ['not outside of it', '203.0.113.0/24', '203.0.114.0', false],
    ['an IPv6 address in any spelling', '2001:db8::a', '[2001:0DB8:0:0:0:0:0:000A]', true],
    ['a pattern in any spelling', '2001:0DB8:0:0::A', '[2001:db8::a]', true],
    ['an IPv6 range', '2001:db8::/32', '[2001:db8:ffff::1]', true],
    ['not outside of that', '2001:db8::/32', '[2001:db9::]', false],
    ['a listed IPv4 address, mapped', '203.0.113.7', '[::ffff:203.0.113.7]', true],
    ['mapped in hex', '203.0.113.7', '[::ffff:cb00:7107]', true],
    ['another one, mapped', '203.0.113.7', '[::ffff:203.0.113.8]', false],
    ['a mapped pattern', '::ffff:203.0.113.7', '203.0.113.7', true],
    ['not an address that embeds it otherwise', '203.0.113.7', '[64:ff9b::203.0.113.7]', false],
    ['nor that', '203.0.113.7', '[2002:cb00:7107::]', false],
    ['all of IPv6 holds no IPv4', '::/0', '203.0.113.7', false],
    ['nor a mapped one', '::/0', '[::ffff:203.0.113.7]', false],
    ['all of IPv4 holds no IPv6', '0.0.0.0/0', '[2001:db8::1]', false],
    ['a name is no address', '0.0.0.0/0', 'bank.example', false],
    ['an address is no name', '*.7', '203.0.113.7', false],
    ['a name by the digits of an address', '203.0.113.7', '203.0.113.7.example', false],
    ['what cannot be read names nothing', '10.0.0.0/99', '10.0.0.1', false],
  ]
  for (const [name, pattern, host, isNamed] of rows)
    t.equal(
      judge(payment, host, [only('payment', [pattern])]),
      isNamed ? 'allowed' : 'refused only-payment',
      name,
    )
  t.equal(canonicalIPv6('::ffff:203.0.113.7'), '::ffff:cb00:7107', 'as a Target has it')
})

t.test('a rule of kind targets ties its lanes to no upstream', async (t) => {
  const rules = [only('payment', ['bank.example']), report('*', ['x.y'])]
  for (const one of [payment, statement, lane()]) {
    const bare = eligible(one, snapshot(1, ['a', 'b', 'c']))
    t.same(eligible(one, snapshot(1, ['a', 'b', 'c'], rules)), bare)
    t.equal(bare.eligible.length, 3)
  }
})

t.test('what is said of a lane', async (t) => {
  const rules = [
    only('payment', ['bank.example', '*.bank.example']),
    only('*:bank-a', ['bank.example', '203.0.113.7']),
    report('*', ['x.y']),
  ]
  const { about } = makeTargetRules(rules)
  t.same(about(payment), {
    allowed: ['bank.example', '*.bank.example', '203.0.113.7'],
    reported: null,
    restrictions: ['only-payment', 'only-*:bank-a'],
  })
  t.same(about(lane()), { allowed: null, reported: ['x.y'], restrictions: ['report-*'] })
  t.same(makeTargetRules([]).about(payment), { allowed: null, reported: null, restrictions: [] })
})

t.test('a refusal names the lane, the rule and what to do', async (t) => {
  const error = targetRefused(payment, { host: 'evil.example', port: 443 }, ['only-payment', 'b', 'c'])
  t.match(error, { code: 'target_denied', status: 403, fields: { lane: 'payment:bank-a' } })
  t.equal(
    error.fields.detail,
    'Jobs of lane payment:bank-a may not reach "evil.example:443": restriction only-payment and 2 more names what they ' +
      'may. Ask for one of those targets, or have this one added to the rule. See /v1/explain.',
  )
  t.match(
    targetRefused(payment, { host: 'x.y', port: 80 }, ['a']).fields.detail,
    /: restriction a names what/,
  )
})

t.test('lanes beyond those that are kept are judged alike', async (t) => {
  const { judge } = makeTargetRules([only('payment', ['bank.example'])])
  const lanes = Array.from({ length: 10_100 }, (_, index) => lane('payment', `bank-${index}`))
  for (const one of lanes) judge(one, 'bank.example')
  t.ok(lanes.every((one) => judge(one, 'bank.example').kind === 'allowed'))
  t.ok(lanes.every((one) => judge(one, 'evil.example').kind === 'refused'))
})
