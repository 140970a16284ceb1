import t, { type Test } from 'tap'
import { makeQuickClock, runHere } from '../../fixtures/command-line.ts'
import { json, problem, startScriptedApi, type Answer } from '../../fixtures/scripted-api.ts'

const report = {
  pass: 'p-1',
  holder: 'control-1',
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: '2026-01-01T00:00:02.000Z',
  outcome: 'done',
  problems: [],
  listed: 4,
  recorded: 4,
  corrected: [{ id: 'up-1', action: 'deleted', detail: 'gone' }],
  left: [],
}
const accepted = json({ pass: 'p-1' }, 202)

async function run(t: Test, script: readonly [Answer, ...Answer[]], ...words: string[]) {
  const { url, asked } = await startScriptedApi(t, ...script)
  const ran = await runHere(['sync', ...words], { ADMIN_URL: url }, { clock: makeQuickClock() })
  return { ...ran, asked: asked.map(({ method, path, body }) => [method, path, body]) }
}

t.test('a pass is asked for, confirmed where that is said', async (t) => {
  const plain = await run(t, [accepted])
  t.same(plain.asked, [['POST', '/v1/sync', null]])
  t.equal(plain.out, 'Sync p-1 is asked for; lanekeeper sync report tells what it came to.\n')
  t.same(JSON.parse((await run(t, [accepted], '--json')).out), { pass: 'p-1' })
  const confirmed = await run(t, [accepted], '--confirm')
  t.same(confirmed.asked, [['POST', '/v1/sync', { confirm: true }]])
})

t.test('the last report', async (t) => {
  const { code, out, asked } = await run(t, [json({ ...report, outcome: 'stopped' })], 'report')
  t.equal(code, 0, 'it was shown')
  t.same(asked, [['GET', '/v1/sync', null]])
  t.match(out, /^Sync p-1 is stopped: .*lanekeeper sync --confirm.*\n {2}up-1 +deleted +gone\n$/s)
  const none = await run(t, [problem(404, 'not_found')], 'report')
  t.equal(none.code, 1)
  t.match(none.err, /Detail of not_found/)
})

t.test('its own report is waited for, and shown', async (t) => {
  const before = json({ ...report, pass: 'p-0' })
  const { code, out, err } = await run(
    t,
    [accepted, problem(404, 'not_found'), before, json(report)],
    '--wait',
  )
  t.equal(code, 0)
  t.match(out, /^Sync p-1 is done: /)
  t.equal(err, 'sync  under way\nsync  done\n')
  const document = await run(t, [accepted, json(report)], '--wait', '--json')
  t.same(JSON.parse(document.out), report)
})

t.test('a pass that was not done is a failure that says what to do', async (t) => {
  for (const [outcome, advice] of [
    ['stopped', /lanekeeper sync --confirm/],
    ['incomplete', /lanekeeper sync does so now/],
    ['failed', /lanekeeper sync does so now/],
  ] as const) {
    const { code, out } = await run(t, [accepted, json({ ...report, outcome })], '--wait')
    t.equal(code, 1, outcome)
    t.match(out, advice, outcome)
  }
})

t.test('what is not to be seen in time, or at all, is said', async (t) => {
  const before = json({ ...report, pass: 'p-0' })
  const late = await run(t, [accepted, before], '--wait', '--timeout', '30')
  t.equal(late.code, 1)
  t.match(
    late.err,
    /\nThe sync is not done after 30 s\. It goes on; lanekeeper sync report tells how far it is\.\n$/,
  )
  const others = ['1', '2', '3', '4', '5', '6'].map((pass) => json({ ...report, pass }))
  const missed = await run(t, [accepted, ...others], '--wait')
  t.equal(missed.code, 1)
  t.match(
    missed.err,
    /\nLater passes came before its report was seen; lanekeeper sync report shows the newest\.\n$/,
  )
})
