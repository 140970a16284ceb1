import t, { type Test } from 'tap'
import { makeQuickClock, runHere } from '../../fixtures/command-line.ts'
import { json, problem, resetting, startScriptedApi, type Answer } from '../../fixtures/scripted-api.ts'

const startMs = Date.UTC(2026, 0, 1)
const upstream = {
  id: 'up-1',
  name: 'cl-1',
  state: 'running',
  host: '10.0.0.5',
  port: 8888,
  egressIp: '203.0.113.5',
  labels: {},
  pins: 3,
  tunnels: 1,
  drain: null,
  replacedBy: null,
  problem: null,
  version: 7,
}
const drain = { deadline: '2026-01-01T00:15:00.000Z', thenDelete: false, drainedAt: null, shut: null }
const draining = { ...upstream, state: 'draining', drain }
const drained = {
  ...draining,
  pins: 0,
  tunnels: 0,
  drain: { ...drain, drainedAt: '2026-01-01T00:01:00.000Z' },
}
const ordered = { ...upstream, state: 'provisioning', host: null, port: null, egressIp: null }
const deleting = { ...upstream, state: 'deleting' }
const deleted = { ...upstream, state: 'deleted' }

async function run(t: Test, script: readonly [Answer, ...Answer[]], ...words: string[]) {
  const { url, asked } = await startScriptedApi(t, ...script)
  const ran = await runHere(['upstreams', ...words], { ADMIN_URL: url }, { clock: makeQuickClock(startMs) })
  const keys = asked.map(({ headers }) => headers['idempotency-key'])
  return { ...ran, keys, asked: asked.map(({ method, path, body }) => [method, path, body]) }
}

t.test('with an address one is registered, with what was given and nothing else', async (t) => {
  const least = await run(t, [json(upstream, 201)], 'create', '--address', '10.0.0.5:8888')
  t.same(least.asked, [['POST', '/v1/upstreams', { address: '10.0.0.5:8888' }]])
  t.match(least.out, /^Upstream up-1 is registered \(version 7\)\.\n\nid +up-1\n/)
  const words =
    '--address [::1]:1 --name n --egress-ip 203.0.113.5 --label a=b --label c=d --credentials x --reason r'
  const most = await run(t, [json(upstream, 201)], 'create', ...words.split(' '))
  const labels = { a: 'b', c: 'd' }
  const body = { address: '[::1]:1', name: 'n', egressIp: '203.0.113.5', labels, credentials: 'x' }
  t.same(most.asked, [['POST', '/v1/upstreams?reason=r', body]])
})

t.test('without an address a machine is ordered, or several', async (t) => {
  const one = await run(t, [json(ordered, 202)], 'create')
  t.same(one.asked, [['POST', '/v1/upstreams', {}]])
  t.equal(
    one.out,
    'Upstream up-1 is ordered (version 7). lanekeeper upstreams show up-1 tells how far it is.\n',
  )
  const three = await run(t, [json(ordered, 202)], ...'create --count 3 --zone z --label a=b'.split(' '))
  const request = ['POST', '/v1/upstreams', { labels: { a: 'b' }, zone: 'z' }]
  t.same(three.asked, [request, request, request])
  t.equal(new Set(three.keys).size, 3)
  t.equal(three.out.split('\n').length, 4)
})

t.test('the two ways are not mixed', async (t) => {
  const wrong: [words: string, problem: RegExp][] = [
    ['--address h:1 --zone z', /--zone and --count are for machines that are ordered/],
    ['--address h:1 --count 2', /--zone and --count/],
    ['--name n', /go with --address; without it a machine is ordered/],
    ['--egress-ip 203.0.113.5', /go with --address/],
    ['--credentials c', /go with --address/],
    ['--count 101', /--count must be a whole number from 1 to 100/],
  ]
  for (const [words, message] of wrong)
    await t.rejects(runHere(['upstreams', 'create', ...words.split(' ')]), { message }, words)
})

t.test('where one order of several fails, those that are made are told, and how to go on', async (t) => {
  const script: [Answer, ...Answer[]] = [
    json({ ...ordered, id: 'up-1' }, 202),
    json({ ...ordered, id: 'up-2' }, 202),
    problem(401, 'unauthorized'),
  ]
  const { code, out, err, keys, asked } = await run(t, script, 'create', '--count', '5')
  t.equal(code, 1)
  t.match(out, /^Upstream up-1 is ordered.*\nUpstream up-2 is ordered.*\n$/)
  t.match(err, /^order 3: Title of unauthorized \(401 unauthorized\)\. Detail of unauthorized\. /m)
  t.match(err, /^Accepted: up-1, up-2\. Not tried: order 4, order 5\.$/m)
  const [, key] = /--idempotency-key (\S+)$/m.exec(err) ?? []
  t.strictSame(keys, [`${key}.1`, `${key}.2`, `${key}.3`])
  const again = await run(t, [json(ordered, 202)], 'create', '--count', '5', '--idempotency-key', key!)
  t.strictSame(again.keys.slice(0, 3), keys, 'so that a repetition makes the rest only')
  t.equal(asked.length, 3)
})

t.test('upstreams are drained, with a deadline where one is given', async (t) => {
  const one = await run(t, [json(draining, 202)], 'drain', 'up-1', '--reason', 'old')
  t.same(one.asked, [['POST', '/v1/upstreams/up-1/drain?reason=old', null]])
  t.equal(
    one.out,
    'Upstream up-1 is draining (version 7). Its jobs may finish: 3 jobs, 1 tunnel. ' +
      'What is left at 2026-01-01T00:15:00.000Z is closed.\n',
  )
  for (const [word, deadlineMs] of [
    ['15m', 900_000],
    ['0', 0],
    ['7d', 604_800_000],
  ] as const) {
    const { asked } = await run(t, [json(draining, 202)], 'drain', 'up-1', '--deadline', word)
    t.same(asked[0]![2], { deadlineMs }, word)
  }
  await t.rejects(runHere(['upstreams', 'drain', 'up-1', '--deadline', '8d']), { message: /from 0 to 7d/ })
  const two = await run(t, [json(draining, 202)], 'drain', 'up-1', 'up-2')
  t.same(
    two.asked.map(([, path]) => path),
    ['/v1/upstreams/up-1/drain', '/v1/upstreams/up-2/drain'],
  )
})

t.test('a drain is waited for until it is over', async (t) => {
  const script: [Answer, ...Answer[]] = [
    json(draining, 202),
    json(draining),
    json(draining),
    json({ ...draining, pins: 1, tunnels: 0 }),
    json(drained),
  ]
  const { code, out, err, asked } = await run(t, script, 'drain', 'up-1', '--wait')
  t.equal(code, 0)
  t.equal(out, 'Upstream up-1 is drained.\n')
  t.equal(
    err,
    [
      'Upstream up-1 is draining (version 7). Its jobs may finish: 3 jobs, 1 tunnel. What is left at 2026-01-01T00:15:00.000Z is closed.',
      'up-1  draining  3 jobs, 1 tunnel left, 15:00 to the deadline',
      'up-1  draining  1 job, no tunnels left, 14:58 to the deadline',
      'up-1  drained',
      '',
    ].join('\n'),
  )
  t.same(asked.at(-1), ['GET', '/v1/upstreams/up-1', null])
})

t.test('a drain that somebody cancels is a failure that says so', async (t) => {
  const { code, out, err } = await run(
    t,
    [json(draining, 202), json(draining), json(upstream)],
    'drain',
    'up-1',
    '--wait',
  )
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, /\nUpstream up-1 is running again: somebody cancelled its drain\.\n$/)
})

t.test('on a terminal the lines are drawn in place', async (t) => {
  const { url } = await startScriptedApi(t, json(draining, 202), json(draining), json(drained))
  let drawn = ''
  const screen = { write: (text: string) => (drawn += text), columns: () => 80, rows: () => 24 }
  const clock = makeQuickClock(startMs)
  const ran = await runHere(['upstreams', 'drain', 'up-1', '--wait', '--url', url], {}, { screen, clock })
  t.equal(ran.code, 0)
  t.match(ran.err, /\nCtrl-C ends the waiting only; what was asked for goes on\.\n$/)
  t.equal(
    drawn,
    '\r\x1b[Jup-1  draining  3 jobs, 1 tunnel left, 15:00 to the deadline\n\x1b[1A\r\x1b[Jup-1  drained\n',
  )
})

t.test('a server that is away for a moment is waited out', async (t) => {
  const script: [Answer, ...Answer[]] = [
    json(draining, 202),
    resetting,
    problem(503, 'database_unavailable'),
    json(drained),
  ]
  const { code, err } = await run(t, script, 'drain', 'up-1', '--wait')
  t.equal(code, 0)
  t.match(err, /^admin API {2}no answer \(.+\); waiting for it$/m)
  const refused = await run(t, [json(draining, 202), problem(401, 'unauthorized')], 'drain', 'up-1', '--wait')
  t.equal(refused.code, 1)
  t.match(refused.err, /401 unauthorized/)
})

t.test('--timeout ends the waiting, not the drain', async (t) => {
  const words = ['drain', 'up-1', 'up-2', '--wait', '--timeout', '90s']
  const { code, err } = await run(t, [json(draining, 202), json(draining, 202), json(draining)], ...words)
  t.equal(code, 1)
  t.match(
    err,
    /\n2 upstreams: not done after 90 s\. It goes on; lanekeeper upstreams list tells how far it is\.\n$/,
  )
})

t.test('for programs: a document a line, the last one that was seen', async (t) => {
  const script: [Answer, ...Answer[]] = [
    json(draining, 202),
    json({ ...draining, id: 'up-2' }, 202),
    (response, { path }) => {
      const id = path.slice(-4)
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ ...drained, id }))
    },
  ]
  const { code, out } = await run(t, script, 'drain', 'up-1', 'up-2', '--wait', '--json')
  t.equal(code, 0)
  const { version: _, ...rest } = drained
  t.match(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [rest, { ...rest, id: 'up-2' }],
  )
  const begun = await run(t, [json(draining, 202)], 'drain', 'up-1', '--json')
  t.same(JSON.parse(begun.out), draining)
  t.equal(begun.err, '')
})

t.test('a drain is cancelled', async (t) => {
  const { out, asked } = await run(t, [json(upstream)], 'cancel', 'up-1', '--reason', 'r')
  t.same(asked, [['POST', '/v1/upstreams/up-1/cancel?reason=r', null]])
  t.equal(out, 'Upstream up-1 gets new jobs again (version 7).\n')
  const two = await run(
    t,
    [problem(409, 'conflict'), json({ ...upstream, id: 'up-2' })],
    'cancel',
    'up-1',
    'up-2',
  )
  t.equal(two.code, 1)
  t.match(two.out, /^Upstream up-2 gets/)
  t.match(two.err, /^up-1: .*conflict.*\nAccepted: up-2\.\n$/)
})

t.test('delete drains first, unless it is forced', async (t) => {
  const toDelete = { ...draining, drain: { ...drain, thenDelete: true } }
  const one = await run(t, [json(toDelete, 202)], 'delete', 'up-1', '--deadline', '90s')
  t.same(one.asked, [['DELETE', '/v1/upstreams/up-1?deadlineMs=90000', null]])
  t.equal(
    one.out,
    'Upstream up-1 is draining, and is deleted then (version 7). Its jobs may finish: 3 jobs, 1 tunnel.\n',
  )
  const forced = await run(t, [json(deleting, 202)], 'delete', 'up-1', '--force')
  t.same(forced.asked, [['DELETE', '/v1/upstreams/up-1?force=true', null]])
  t.equal(forced.out, 'Upstream up-1 is being deleted (version 7).\n')
  await t.rejects(runHere(['upstreams', 'delete', 'up-1', '--force', '--deadline', '1m']), {
    message: /--force does not drain/,
  })
  const waited = await run(
    t,
    [
      json(toDelete, 202),
      json(toDelete),
      json({ ...deleting, problem: 'rate_limited: wait' }),
      json(deleted),
    ],
    'delete',
    'up-1',
    '--wait',
  )
  t.equal(waited.code, 0)
  t.equal(waited.out, 'Upstream up-1 is deleted.\n')
  t.match(waited.err, /\nup-1 {2}draining .*\nup-1 {2}deleting \(rate_limited: wait\)\nup-1 {2}deleted\n$/)
})

t.test('an order is waited for until it runs, or has failed', async (t) => {
  const waits = {
    ...ordered,
    host: '10.0.0.5',
    problem: 'connection refused',
    retryAt: '2026-01-01T00:00:05.000Z',
  }
  const up = await run(
    t,
    [json(ordered, 202), json(ordered), json(waits), json(upstream)],
    'create',
    '--wait',
  )
  t.equal(up.code, 0)
  t.equal(up.out, 'Upstream up-1 is running at 10.0.0.5:8888, egress IP 203.0.113.5.\n')
  t.match(
    up.err,
    /\nup-1 {2}provisioning: waiting for its machine\nup-1 {2}provisioning: waiting for good probes \(connection refused; next try in 4 s\)\nup-1 {2}running\n$/,
  )
  const failed = { ...ordered, state: 'failed', problem: 'quota: raise it' }
  const down = await run(t, [json(ordered, 202), json(failed)], 'create', '--wait')
  t.equal(down.code, 1)
  t.match(down.err, /\nUpstream up-1 has failed: quota: raise it\.\n$/)
})

t.test('where some orders fail, the others are waited for all the same', async (t) => {
  const script: [Answer, ...Answer[]] = [json(ordered, 202), problem(409, 'conflict'), json(upstream)]
  const { code, out, err } = await run(t, script, 'create', '--count', '2', '--wait')
  t.equal(code, 1)
  t.match(out, /^Upstream up-1 is running/)
  t.match(err, /^order 2: /m)
})

t.test('a recycled one is followed until it is gone and the new one runs', async (t) => {
  const old = { ...upstream, replacedBy: 'up-2' }
  const script: [Answer, ...Answer[]] = [
    json(old, 202),
    json(old),
    json({ ...ordered, id: 'up-2' }),
    json({ ...old, state: 'deleted' }),
    json({ ...upstream, id: 'up-2' }),
  ]
  const { code, out, err, asked } = await run(t, script, 'recycle', 'up-1', '--wait')
  t.equal(code, 0)
  t.equal(out, 'Upstream up-1 is deleted; up-2 is running at 10.0.0.5:8888, egress IP 203.0.113.5.\n')
  t.match(
    err,
    /^Upstream up-1 is being replaced by up-2 \(version 7\)\.\nup-2 .*\nup-1 {2}running\nup-2 {2}running\nup-1 {2}deleted\n$/,
  )
  t.same(asked[0], ['POST', '/v1/upstreams/up-1/recycle', null])
})
