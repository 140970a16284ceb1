import t, { type Test } from 'tap'
import { runHere } from '../../fixtures/command-line.ts'
import { json, problem, startScriptedApi, type Answer } from '../../fixtures/scripted-api.ts'

const rule = {
  id: 'cl-only',
  kind: 'exclusive',
  type: 'payment',
  institution: '*',
  upstreams: { labels: { pool: 'cl' } },
  overflow: true,
  source: 'api',
  version: 7,
  evicting: false,
}
const evicting: Answer = json({ ...rule, evicting: true }, 201)

async function run(t: Test, script: readonly [Answer, ...Answer[]], ...words: string[]) {
  const { url, asked } = await startScriptedApi(t, ...script)
  const ran = await runHere(['restrictions', ...words], { ADMIN_URL: url })
  return { ...ran, asked: asked.map(({ method, path, body }) => [method, path, body]) }
}

t.test('list and show', async (t) => {
  const list = await run(t, [json({ items: [rule], next: null })], 'list')
  t.match(list.out, /^ID .*SOURCE\ncl-only  exclusive  payment  \* +pool=cl +- +yes +api\n\n1 restriction\n$/)
  const show = await run(t, [json(rule)], 'show', 'cl-only')
  t.same(show.asked, [['GET', '/v1/restrictions/cl-only', null]])
  t.match(show.out, /^upstreams\.labels +pool=cl$/m)
})

t.test('a rule is added with what was given, and nothing else', async (t) => {
  const least = await run(t, [json(rule, 201)], 'add', '--kind', 'deny', '--ids', 'a,b')
  t.same(least.asked, [['POST', '/v1/restrictions', { kind: 'deny', upstreams: { ids: ['a', 'b'] } }]])
  t.equal(
    least.out,
    'Restriction cl-only is added (version 7).\nIt is now: exclusive payment/* on pool=cl, with overflow.\n',
  )
  const words =
    '--id cl-only --kind exclusive --type payment --institution bank-a --label a=b --label c=d --overflow --force'
  const most = await run(t, [json(rule, 201)], 'add', ...words.split(' '))
  const lane = { type: 'payment', institution: 'bank-a' }
  const upstreams = { labels: { a: 'b', c: 'd' } }
  t.same(most.asked, [
    [
      'POST',
      '/v1/restrictions?force=true',
      { id: 'cl-only', kind: 'exclusive', ...lane, upstreams, overflow: true },
    ],
  ])
})

t.test('a rule says what its lanes may reach', async (t) => {
  const targets = {
    ...rule,
    kind: 'targets',
    upstreams: { ids: [] },
    overflow: false,
    targets: ['*.bank.example'],
  }
  const only = await run(
    t,
    [json({ ...targets, report: true }, 201)],
    ...'add --kind targets --type payment --target *.bank.example --target b.example,c.example --report'.split(
      ' ',
    ),
  )
  t.same(only.asked, [
    [
      'POST',
      '/v1/restrictions',
      {
        kind: 'targets',
        type: 'payment',
        targets: ['*.bank.example', 'b.example', 'c.example'],
        report: true,
      },
    ],
  ])
  t.match(only.out, /\nIt is now: targets payment\/\* to \*\.bank\.example, report only\.\n$/)
  const words = 'replace cl-only --kind exclusive --ids a --target 203.0.113.0/24'
  const also = await run(t, [json(rule)], ...words.split(' '))
  const body = { kind: 'exclusive', upstreams: { ids: ['a'] }, targets: ['203.0.113.0/24'] }
  t.same(also.asked, [['PUT', '/v1/restrictions/cl-only', body]])
  const list = await run(t, [json({ items: [{ ...targets, report: true }], next: null })], 'list')
  t.match(list.out, /^ID .* TARGETS .*\ncl-only +targets +payment +\* +- +\*\.bank\.example, report only +no/)
})

t.test('a rule is replaced, and removed', async (t) => {
  const replaced = await run(t, [json(rule)], 'replace', 'cl-only', '--kind', 'deny', '--ids', 'a')
  t.same(replaced.asked, [['PUT', '/v1/restrictions/cl-only', { kind: 'deny', upstreams: { ids: ['a'] } }]])
  t.match(replaced.out, /^Restriction cl-only is replaced \(version 7\)\.\n/)
  const gone = { id: 'cl-only', version: 8, evicting: false }
  const removed = await run(t, [json(gone)], 'remove', 'cl-only', '--force', '--reason', 'over')
  t.same(removed.asked, [['DELETE', '/v1/restrictions/cl-only?force=true&reason=over', null]])
  t.equal(removed.out, 'Restriction cl-only is removed (version 8).\n')
})

t.test('upstreams are selected one way, and --wait goes with --evict', async (t) => {
  const wrong: [words: string, problem: RegExp][] = [
    ['add --kind deny', /either --ids or --label/],
    ['add --kind deny --ids a --label k=v', /either --ids or --label/],
    ['add --kind deny --ids a --wait', /--wait waits for --evict/],
    ['add --kind maybe --ids a', /--kind must be exclusive, deny, targets, found "maybe"/],
    ['add --kind targets', /--target, as often as needed/],
    ['add --kind targets --target a.b --ids a', /takes no upstreams/],
    ['add --kind targets --target a.b --label a=b', /takes no upstreams/],
    ['add --kind deny --ids a --target a.b', /--target goes with --kind exclusive or targets/],
    ['add --kind exclusive --ids a --report', /--report goes with --target/],
    ['replace r --kind exclusive --target a.b', /either --ids or --label/],
    ['replace r --kind deny', /either --ids or --label/],
    ['replace r --kind deny --ids a --wait', /--wait waits for --evict/],
    ['remove r --wait', /--wait waits for --evict/],
  ]
  for (const [words, problem] of wrong)
    await t.rejects(runHere(['restrictions', ...words.split(' ')]), { message: problem }, words)
})

t.test('what --force would overrule has its exit code', async (t) => {
  for (const code of ['names_nothing', 'lane_without_upstream']) {
    const { code: exit, err } = await run(t, [problem(409, code)], 'add', '--kind', 'deny', '--ids', 'a')
    t.equal(exit, 4, code)
    t.match(err, /With --force/)
  }
})

t.test('an eviction is told, and waited for where that is asked', async (t) => {
  const add = ['add', '--kind', 'deny', '--ids', 'a', '--evict']
  const told = await run(t, [evicting], ...add)
  t.equal(told.asked[0]![1], '/v1/restrictions?evict=true')
  t.match(told.err, /are being released; lanekeeper ledger list tells/)
  const ledger = (steps: object[]) => json({ items: [{ version: 8, steps }], next: null })
  const done = ledger([{ kind: 'jobs_evicted', asked: 7, jobs: 12 }])
  const waited = await run(t, [evicting, ledger([]), done], ...add, '--wait', '--json')
  t.equal(waited.code, 0)
  t.equal(waited.asked.length, 3)
  t.match(waited.err, /^Waiting until .*\n12 jobs released\.\n$/)
  const none = ledger([{ kind: 'jobs_evicted', asked: 7, jobs: 0 }])
  t.match((await run(t, [evicting, none], ...add, '--wait')).err, /\nNo job had to be released\.\n$/)
  t.match(JSON.parse(waited.out), { id: 'cl-only', evicting: true })
  const nothing = await run(t, [json(rule)], ...add, '--wait')
  t.equal(nothing.asked.length, 1, 'where nothing is evicted nothing is waited for')
  t.equal(nothing.err, '')
})
