import t, { type Test } from 'tap'
import { runHere } from '../../fixtures/command-line.ts'
import { json, problem, startScriptedApi, type Answer } from '../../fixtures/scripted-api.ts'

const entry = {
  version: 7,
  at: '2026-01-02T03:04:05.678Z',
  actor: 'admin:alice',
  reason: 'blocked\u001b[2J',
  hash: 'f00',
  previousHash: '',
  steps: [
    { kind: 'upstream_changed', id: 'up-1', from: { quarantined: false }, to: { quarantined: true } },
    { kind: 'eviction_asked' },
  ],
}

async function run(t: Test, answer: Answer, ...words: string[]) {
  const { url, asked } = await startScriptedApi(t, answer)
  const ran = await runHere(['ledger', ...words], { ADMIN_URL: url })
  return { ...ran, path: asked[0]!.path }
}

t.test('a line for each change: when, who, what and why', async (t) => {
  const { out, path } = await run(
    t,
    json({ items: [entry], next: null }),
    'list',
    '--about',
    'up-1',
    '--limit',
    '20',
  )
  t.equal(path, '/v1/ledger?about=up-1&limit=20')
  const [head, line, ...rest] = out.split('\n')
  t.match(head, /^VERSION  AT +ACTOR +WHAT +REASON$/)
  t.equal(
    line,
    '      7  2026-01-02T03:04:05.678Z  admin:alice  quarantined upstream up-1; asked to release the jobs that no longer fit  blocked\\u{1b}[2J',
  )
  t.same(rest, ['', '1 change', ''])
})

t.test('a change of many steps does not fill the screen', async (t) => {
  const steps = Array.from({ length: 200 }, (_, n) => ({ kind: 'upstream_deleted', id: `up-${n}` }))
  const { out } = await run(t, json({ items: [{ ...entry, steps }], next: null }), 'list')
  t.match(out, 'deleted upstream up-0; deleted upstream up-1; deleted upstream up-2; and 197 more  blocked')
})

t.test('one change in full', async (t) => {
  const { out, path } = await run(t, json(entry), 'show', '7')
  t.equal(path, '/v1/ledger/7')
  t.match(out, /^hash +f00$/m)
  t.match(out, /^previousHash +-$/m)
  t.match(out, /\n\nquarantined upstream up-1\nasked to release .*\n$/)
  await t.rejects(runHere(['ledger', 'show', 'last']), { message: /<version> must be a whole number/ })
})

t.test('a broken chain has its exit code; not being able to look has another', async (t) => {
  const whole = await run(t, json({ ok: true, entries: 7, version: 7, hash: 'f00' }), 'verify')
  t.equal(whole.code, 0)
  t.equal(whole.out, 'The ledger is whole: 7 changes up to version 7, hash f00.\n')
  const broken = await run(t, json({ ok: false, version: 3, problem: 'its hash is another' }), 'verify')
  t.equal(broken.code, 3)
  t.equal(broken.out, 'The ledger is broken at version 3: its hash is another\n')
  t.equal((await run(t, json({ ok: false, version: 3, problem: 'x' }), 'verify', '--json')).code, 3)
  t.equal((await run(t, problem(503, 'database_unavailable'), 'verify')).code, 1)
  t.equal((await run(t, json({ status: 'ok' }), 'verify')).code, 1, 'the answer of another program is none')
})
