import t, { type Test } from 'tap'
import { runHere } from '../../fixtures/command-line.ts'
import { json, problem, startScriptedApi, type Answer } from '../../fixtures/scripted-api.ts'

const upstream = {
  id: 'up-1',
  name: 'cl-1',
  provider: 'static',
  state: 'running',
  host: '10.0.0.5',
  port: 8888,
  egressIp: '203.0.113.5',
  labels: { pool: 'cl', zone: 'a' },
  ejected: false,
  quarantined: true,
  credentials: null,
  pins: 12,
  tunnels: 3,
  version: 7,
}

async function run(t: Test, answer: Answer, ...words: string[]) {
  const { url, asked } = await startScriptedApi(t, answer)
  const ran = await runHere(['upstreams', ...words], { ADMIN_URL: url })
  const { method, path, body } = asked[0]!
  return { ...ran, asked: [method, path, body] }
}

t.test('the list shows what a person looks for', async (t) => {
  const away = {
    ...upstream,
    id: 'up-2',
    host: 'fd00::5',
    egressIp: null,
    labels: {},
    pins: null,
    tunnels: null,
  }
  const drain = { deadline: '2026-01-01T00:15:00.000Z', thenDelete: false, drainedAt: null, shut: null }
  const draining = { ...upstream, id: 'up-3', state: 'draining', quarantined: false, drain, labels: {} }
  const ordered = { ...draining, id: 'up-4', state: 'provisioning', host: null, port: null, egressIp: null }
  const { out, asked } = await run(
    t,
    json({ items: [upstream, away, draining, ordered], next: null }),
    'list',
    '--state',
    'running',
  )
  t.same(asked, ['GET', '/v1/upstreams?state=running&limit=1000', null])
  t.equal(
    out,
    [
      'ID    NAME  STATE                    ADDRESS         EGRESS-IP    PINS  TUNNELS  LABELS',
      'up-1  cl-1  running (quarantined)    10.0.0.5:8888   203.0.113.5    12        3  pool=cl,zone=a',
      'up-2  cl-1  running (quarantined)    [fd00::5]:8888  -               -        -  -',
      'up-3  cl-1  draining (12 jobs left)  10.0.0.5:8888   203.0.113.5    12        3  -',
      'up-4  cl-1  provisioning             -               -              12        3  -',
      '',
      '4 upstreams',
      '',
    ].join('\n'),
  )
})

t.test('one is shown with all of its fields', async (t) => {
  const shut = { at: '2026-01-01T00:15:00.000Z', pins: 2, tunnels: 1 }
  const drain = { deadline: '2026-01-01T00:15:00.000Z', thenDelete: true, drainedAt: null, shut }
  const { out, asked } = await run(t, json({ ...upstream, drain, problem: null }), 'show', 'up-1')
  t.same(asked, ['GET', '/v1/upstreams/up-1', null])
  t.match(out, /^id +up-1$/m)
  t.match(out, /^labels +pool=cl,zone=a$/m)
  t.match(out, /^quarantined +yes$/m)
  t.match(out, /^drain\.thenDelete +yes$/m)
  t.match(out, /^drain\.shut\.pins +2$/m)
  t.match(out, /^problem +-$/m)
})

t.test('an id cannot lead elsewhere', async (t) => {
  const { asked } = await run(t, problem(404, 'not_found'), 'show', 'a/../../v1?x#y')
  t.equal(asked[1], '/v1/upstreams/a%2F..%2F..%2Fv1%3Fx%23y')
})

t.test('quarantine and release', async (t) => {
  const aside = await run(t, json(upstream), 'quarantine', 'up-1', '--reason', 'blocked by bank-a')
  t.same(aside.asked, ['POST', '/v1/upstreams/up-1/quarantine?reason=blocked+by+bank-a', null])
  t.equal(aside.out, 'Upstream up-1 is quarantined (version 7). What it has goes on: 12 pins, 3 tunnels.\n')
  const unknown = await run(t, json({ ...upstream, pins: null, tunnels: null }), 'quarantine', 'up-1')
  t.match(unknown.out, /Jobs pinned to it go on\.\n$/)
  const back = await run(t, json(upstream), 'release', 'up-1')
  t.same(back.asked, ['POST', '/v1/upstreams/up-1/release', null])
  t.equal(back.out, 'Upstream up-1 is not quarantined any more (version 7).\n')
})
