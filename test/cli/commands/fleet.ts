import t, { type Test } from 'tap'
import { makeQuickClock, runHere } from '../../fixtures/command-line.ts'
import { json, problem, startScriptedApi, type Answer } from '../../fixtures/scripted-api.ts'

const states = { provisioning: 0, running: 4, draining: 0, deleting: 0, failed: 0 }
const fleet = { wanted: 5, states, ejected: 1, quarantined: 0, version: 7 }

async function run(t: Test, script: readonly [Answer, ...Answer[]], ...words: string[]) {
  const { url, asked } = await startScriptedApi(t, ...script)
  const ran = await runHere(['fleet', ...words], { ADMIN_URL: url }, { clock: makeQuickClock() })
  return { ...ran, asked: asked.map(({ method, path, body }) => [method, path, body]) }
}

t.test('how large it is', async (t) => {
  const { out, asked } = await run(t, [json(fleet)], 'show')
  t.same(asked, [['GET', '/v1/fleet', null]])
  t.match(out, /^wanted +5\nprovisioning +0\nrunning +4\n/)
  t.match(out, /^ejected +1$/m)
  t.match(
    (await run(t, [json({ ...fleet, wanted: null })], 'show')).out,
    /^wanted +auto \(as many as there are\)$/m,
  )
})

t.test('another size is asked for, or none', async (t) => {
  const five = await run(t, [json(fleet, 202)], 'size', '5', '--reason', 'payday')
  t.same(five.asked, [['PUT', '/v1/fleet?reason=payday', { wanted: 5 }]])
  t.equal(five.out, 'The fleet is to have 5 upstreams (version 7); 4 running now.\n')
  const auto = await run(t, [json({ ...fleet, wanted: null }, 202)], 'size', 'auto', '--wait')
  t.same(auto.asked, [['PUT', '/v1/fleet', { wanted: null }]], 'there is nothing to wait for')
  t.match(auto.out, /^The fleet is to have as many upstreams as there are \(version 7\)/)
  for (const word of ['-1', '10001', '1.5', 'many', ''])
    await t.rejects(
      runHere(['fleet', 'size', '--', word]),
      { message: /^<size> must be a number from 0 to 10000, or auto/ },
      word,
    )
  t.equal((await run(t, [problem(409, 'conflict')], 'size', '5')).code, 1)
})

t.test('it is waited for until it has its size', async (t) => {
  const list = json({ items: [{ id: 'up-5', state: 'provisioning', host: null }], next: null })
  const growing = json({ ...fleet, states: { ...states, provisioning: 1 } })
  const grown = json({ ...fleet, states: { ...states, running: 5 } })
  const { code, out, err, asked } = await run(
    t,
    [json(fleet, 202), growing, list, grown],
    'size',
    '5',
    '--wait',
  )
  t.equal(code, 0)
  t.equal(out, 'The fleet has 5 upstreams running.\n')
  t.equal(
    err,
    [
      'The fleet is to have 5 upstreams (version 7); 4 running now.',
      'fleet  4 of 5 running, 1 provisioning',
      'up-5  provisioning: waiting for its machine',
      'fleet  5 of 5 running',
      '',
    ].join('\n'),
  )
  t.same(asked[2], ['GET', '/v1/upstreams?state=provisioning&limit=20', null])
})

t.test(
  'somebody who asks for another size meanwhile is told of, and so is the end of the time',
  async (t) => {
    const other = await run(t, [json(fleet, 202), json({ ...fleet, wanted: 6 })], 'size', '5', '--wait')
    t.equal(other.code, 1)
    t.equal(other.out, '')
    t.match(other.err, /\nThe fleet is to have 6 upstreams now: somebody changed that meanwhile\.\n$/)
    const late = await run(t, [json(fleet, 202), json(fleet)], 'size', '5', '--wait', '--timeout', '1m')
    t.equal(late.code, 1)
    t.match(
      late.err,
      /\nThe fleet is not done after 60 s\. It goes on; lanekeeper fleet show tells how far it is\.\n$/,
    )
  },
)
