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
  const { out, asked } = await run(
    t,
    json({ items: [upstream, away], next: null }),
    'list',
    '--state',
    'running',
  )
  t.same(asked, ['GET', '/v1/upstreams?state=running&limit=1000', null])
  t.equal(
    out,
    [
      'ID    NAME  STATE                  ADDRESS         EGRESS-IP    PINS  TUNNELS  LABELS',
      'up-1  cl-1  running (quarantined)  10.0.0.5:8888   203.0.113.5    12        3  pool=cl,zone=a',
      'up-2  cl-1  running (quarantined)  [fd00::5]:8888  -               -        -  -',
      '',
      '2 upstreams',
      '',
    ].join('\n'),
  )
})

t.test('one is shown with all of its fields', async (t) => {
  const { out, asked } = await run(t, json(upstream), 'show', 'up-1')
  t.same(asked, ['GET', '/v1/upstreams/up-1', null])
  t.match(out, /^id +up-1$/m)
  t.match(out, /^labels +pool=cl,zone=a$/m)
  t.match(out, /^quarantined +yes$/m)
})

t.test('an id cannot lead elsewhere', async (t) => {
  const { asked } = await run(t, problem(404, 'not_found'), 'show', 'a/../../v1?x#y')
  t.equal(asked[1], '/v1/upstreams/a%2F..%2F..%2Fv1%3Fx%23y')
})

t.test('one is registered with what was given, and nothing else', async (t) => {
  const least = await run(t, json(upstream, 201), 'create', '--address', '10.0.0.5:8888')
  t.same(least.asked, ['POST', '/v1/upstreams', { address: '10.0.0.5:8888' }])
  t.match(least.out, /^Upstream up-1 is registered \(version 7\)\.\n\nid +up-1\n/)
  const words =
    '--address [::1]:1 --name n --egress-ip 203.0.113.5 --label a=b --label c=d --credentials x --reason r'
  const most = await run(t, json(upstream, 201), 'create', ...words.split(' '))
  const labels = { a: 'b', c: 'd' }
  const body = { address: '[::1]:1', name: 'n', egressIp: '203.0.113.5', labels, credentials: 'x' }
  t.same(most.asked, ['POST', '/v1/upstreams?reason=r', body])
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

t.test('delete asks for force only where it is said', async (t) => {
  const refused = await run(t, problem(409, 'in_use'), 'delete', 'up-1')
  t.same(refused.asked, ['DELETE', '/v1/upstreams/up-1', null])
  t.equal(refused.code, 4)
  t.equal(refused.out, '')
  t.match(refused.err, /409 in_use.*\nDetail of in_use\.\nWith --force it is done all the same\.\n$/)
  const forced = await run(t, json(upstream), 'delete', 'up-1', '--force')
  t.same(forced.asked, ['DELETE', '/v1/upstreams/up-1?force=true', null])
  t.equal(forced.code, 0)
  t.equal(forced.out, 'Upstream up-1 is deleted (version 7).\n')
})
