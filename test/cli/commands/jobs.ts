import t, { type Test } from 'tap'
import { runHere } from '../../fixtures/command-line.ts'
import { json, problem, startScriptedApi, type Answer } from '../../fixtures/scripted-api.ts'

const job = {
  id: 'a:1',
  type: 'payment',
  institution: null,
  upstream: { id: 'up-1', egressIp: '203.0.113.5' },
  fresh: false,
  pinnedAt: '2026-01-02T03:04:05.678Z',
  expiresAt: '2026-01-02T03:14:05.678Z',
  tunnels: 2,
}

async function run(t: Test, script: readonly [Answer, ...Answer[]], ...words: string[]) {
  const { url, asked } = await startScriptedApi(t, ...script)
  const ran = await runHere(['jobs', ...words], { ADMIN_URL: url })
  return {
    ...ran,
    asked: asked.map(({ method, path, body }) => [method, path, body]),
    keys: asked.map(({ headers }) => headers['idempotency-key']),
  }
}

t.test('a job is shown with its upstream', async (t) => {
  const { out, asked } = await run(t, [json(job)], 'show', 'a:1')
  t.same(asked, [['GET', '/v1/jobs/a%3A1', null]])
  for (const line of [/^upstream\.id +up-1$/m, /^institution +-$/m, /^pinnedAt +2026-01-02T03:04:05\.678Z$/m])
    t.match(out, line)
})

t.test('a job is released, while PostgreSQL is away, too', async (t) => {
  const { out, asked } = await run(t, [json(job)], 'release', 'a:1', '--reason', 'stuck')
  t.same(asked, [['DELETE', '/v1/jobs/a%3A1?reason=stuck', null]])
  t.equal(out, 'Job a:1 is released from upstream up-1.\n')
  const away = await run(t, [problem(503, 'database_unavailable', 2), json(job)], 'release', 'a:1')
  t.equal(away.code, 0)
  t.match(away.keys, [/./, undefined])
})

t.test('an outcome is reported, and nothing else than an outcome', async (t) => {
  const { out, asked } = await run(
    t,
    [json({ accepted: true }, 202)],
    'report',
    'a:1',
    '--outcome',
    'rate_limited',
  )
  t.same(asked, [['POST', '/v1/jobs/a%3A1/report', { outcome: 'rate_limited' }]])
  t.equal(out, 'Reported: job a:1, rate_limited.\n')
  await t.rejects(runHere(['jobs', 'report', 'a', '--outcome', 'bad']), {
    message: '--outcome must be ok, blocked, captcha, rate_limited, found "bad".',
  })
  await t.rejects(runHere(['jobs', 'report', 'a']), { message: 'Missing: --outcome.' })
})

t.test('what was reported of a job', async (t) => {
  const report = { at: '2026-01-02T03:04:05.678Z', outcome: 'blocked', upstream: null, actor: 'admin' }
  const { out, asked } = await run(
    t,
    [json({ items: [report], next: null })],
    'reports',
    'a:1',
    '--limit',
    '5',
  )
  t.same(asked, [['GET', '/v1/jobs/a%3A1/reports?limit=5', null]])
  t.match(out, /^AT .*ACTOR\n2026-01-02T03:04:05\.678Z  blocked +- +- +- +admin\n\n1 report\n$/)
  t.equal((await run(t, [json({ items: [], next: null })], 'reports', 'a')).out, 'no reports\n')
})
