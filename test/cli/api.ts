import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { makeApi, type Change } from '../../src/cli/api.ts'
import type { Failure } from '../../src/cli/failure.ts'
import { closedPort, listen } from '../fixtures/listen.ts'
import {
  breakingOff,
  json,
  problem,
  resetting,
  saying,
  startScriptedApi,
  stayingSilent,
  type Answer,
} from '../fixtures/scripted-api.ts'

const change: Change = {
  method: 'POST',
  path: '/v1/things',
  knownBy: 'version',
  actor: 'alice',
  reason: 'why not',
  key: 'k-1',
}

type Options = { token?: string | null; timeoutMs?: number }

function connect(t: Test, url: string, { token = null, timeoutMs = 10_000 }: Options = {}) {
  const api = makeApi({ url, token, timeoutMs })
  t.teardown(api.close)
  return api
}

async function setUp(t: Test, script: readonly [Answer, ...Answer[]], options: Options = {}) {
  const { url, asked } = await startScriptedApi(t, ...script)
  return { url, asked, api: connect(t, url, options) }
}

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const error: unknown = await promise.then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  )
  return (error as { failure: Failure }).failure
}

t.test('a document is asked for with the token, and answered as it came', async (t) => {
  const { api, asked } = await setUp(t, [json({ id: 'up-1', pins: 0 })], { token: 's3cret' })
  t.strictSame(await api.get('/v1/upstreams/up-1', 'id', { state: 'running', about: null }), {
    id: 'up-1',
    pins: 0,
  })
  t.match(asked, [
    {
      method: 'GET',
      path: '/v1/upstreams/up-1?state=running',
      body: null,
      headers: { authorization: 'Bearer s3cret' },
    },
  ])
  for (const field of ['idempotency-key', 'x-actor', 'content-type'])
    t.notOk(field in asked[0]!.headers, field)
})

t.test('without a token none is sent, and a path before the API stays', async (t) => {
  const { url, asked } = await startScriptedApi(t, json({ eligible: [] }))
  await connect(t, `${url}/ops`).get('/v1/explain', 'eligible', { type: 'a b&c' })
  t.notOk('authorization' in asked[0]!.headers)
  t.equal(asked[0]!.path, '/ops/v1/explain?type=a+b%26c')
})

t.test('a list follows its pages up to the limit, and says whether there is more', async (t) => {
  const pages: [Answer, ...Answer[]] = [
    json({ items: Array(1000).fill(1), next: 'a' }),
    json({ items: Array(1000).fill(2), next: 'b' }),
    json({ items: [3], next: null }),
  ]
  const all = await setUp(t, pages)
  const whole = await all.api.list('/v1/things', { state: null }, null)
  t.equal(whole.items.length, 2001)
  t.equal(whole.next, null)
  t.same(
    all.asked.map(({ path }) => path),
    ['/v1/things?limit=1000', '/v1/things?limit=1000&after=a', '/v1/things?limit=1000&after=b'],
  )
  const some = await setUp(t, [pages[0], json({ items: Array(500).fill(2), next: 'b' })])
  t.match(await some.api.list('/v1/things', {}, 1500), { items: { length: 1500 }, next: 'b' })
  t.equal(some.asked[1]!.path, '/v1/things?limit=500&after=a')
  t.equal(some.asked.length, 2, 'no page is asked for that is not wanted')
})

t.test('a list without end is left', async (t) => {
  for (const page of [
    { items: [1], next: 'a' },
    { items: [], next: 'a' },
  ]) {
    const { api, asked } = await setUp(t, [json(page)])
    await api.list('/v1/things', {}, null)
    t.ok(asked.length <= 2)
  }
})

t.test('a change says who, why and under which key', async (t) => {
  const { api, asked } = await setUp(t, [json({ version: 7 }, 201)])
  t.strictSame(await api.change({ ...change, query: { force: true, evict: null }, body: { a: 1 } }), {
    version: 7,
  })
  t.match(asked, [
    {
      method: 'POST',
      path: '/v1/things?force=true&reason=why+not',
      body: { a: 1 },
      headers: { 'idempotency-key': 'k-1', 'x-actor': 'alice', 'content-type': 'application/json' },
    },
  ])
})

t.test('a change without a body has no content type, and nobody is named who is not known', async (t) => {
  const { api, asked } = await setUp(t, [json({ version: 7 })])
  await api.change({ ...change, actor: null, reason: null })
  t.equal(asked[0]!.path, '/v1/things')
  for (const field of ['content-type', 'x-actor']) t.notOk(field in asked[0]!.headers, field)
})

t.test('a change is repeated with the same key, body and reason where that may help', async (t) => {
  const scripts: { [name: string]: [Answer, ...Answer[]] } = {
    'the connection breaks before the answer': [resetting, json({ version: 7 })],
    'the connection breaks within the answer': [breakingOff, json({ version: 7 })],
    'PostgreSQL is away for a moment': [problem(503, 'database_unavailable'), json({ version: 7 })],
    'the first try is under way': [problem(409, 'idempotency_in_flight'), json({ version: 7 })],
    'a load balancer restarts it': [saying(503, 'text/html', '<h1>503</h1>'), json({ version: 7 })],
    twice: [resetting, problem(503, 'database_unavailable'), json({ version: 7 })],
  }
  const each = Object.entries(scripts).map(async ([name, script]) => {
    const { api, asked } = await setUp(t, script)
    t.strictSame(await api.change({ ...change, body: { a: 1 } }), { version: 7 }, name)
    t.equal(asked.length, script.length, name)
    for (const { method, path, body, headers } of asked)
      t.match(
        { method, path, body, key: headers['idempotency-key'] },
        { method: 'POST', path: '/v1/things?reason=why+not', body: { a: 1 }, key: 'k-1' },
      )
  })
  await Promise.all(each)
})

t.test('Retry-After is waited for', async (t) => {
  const { api } = await setUp(t, [problem(503, 'database_unavailable', 1), json({ version: 7 })])
  const before = performance.now()
  await api.change(change)
  t.ok(performance.now() - before >= 990)
})

t.test('a change that is refused is not repeated, and nothing is left open', async (t) => {
  for (const [status, code] of [
    [400, 'bad_request'],
    [401, 'unauthorized'],
    [404, 'not_found'],
    [409, 'conflict'],
    [422, 'idempotency_mismatch'],
  ] as const) {
    const { api, asked } = await setUp(t, [problem(status, code)])
    t.match(await failureOf(api.change(change)), {
      kind: 'refused',
      status,
      problem: { code },
      unknownUnder: null,
    })
    t.equal(asked.length, 1, code)
  }
})

t.test('where the end is not known, the key to repeat with is told', async (t) => {
  const scripts: { [name: string]: [[Answer, ...Answer[]], string | null] } = {
    'reset each time': [[resetting], 'k-1'],
    'PostgreSQL stays away': [[problem(503, 'database_unavailable')], 'k-1'],
    'the server failed': [[problem(500, 'internal_error')], 'k-1'],
    'reset, and then the first try is still under way': [
      [resetting, problem(409, 'idempotency_in_flight')],
      'k-1',
    ],
    'reset, and then refused under the same key: that was the answer': [
      [resetting, problem(409, 'conflict')],
      null,
    ],
    'not the API': [[saying(200, 'text/html', '<h1>Welcome</h1>')], 'k-1'],
  }
  const each = Object.entries(scripts).map(async ([name, [script, key]]) => {
    const { api } = await setUp(t, script)
    t.equal((await failureOf(api.change(change))).unknownUnder, key, name)
  })
  await Promise.all(each)
})

t.test('reading is not repeated, and leaves nothing open', async (t) => {
  const { api, asked } = await setUp(t, [resetting])
  t.match(await failureOf(api.get('/v1/things', 'id')), {
    kind: 'unreachable',
    cause: /./,
    unknownUnder: null,
  })
  t.equal(asked.length, 1)
})

t.test('what changes nothing is asked for once, without a key, and leaves nothing open', async (t) => {
  const { api, asked } = await setUp(t, [json({ token: 'x' }, 201), resetting])
  t.same(await api.ask('/v1/tokens', 'token', { job: '42' }), { token: 'x' })
  t.match(asked[0], { method: 'POST', path: '/v1/tokens', body: { job: '42' } })
  t.equal(asked[0]!.headers['idempotency-key'], undefined)
  t.equal((await failureOf(api.ask('/v1/tokens', 'token', { job: '42' }))).unknownUnder, null)
  t.equal(asked.length, 2)
})

t.test('a job is released without a key while PostgreSQL is away', async (t) => {
  const release: Change = { ...change, method: 'DELETE', mayGoWithoutKey: true }
  const { api, asked } = await setUp(t, [
    problem(503, 'database_unavailable', 2),
    json({ id: 'j', version: 7 }),
  ])
  const before = performance.now()
  await api.change(release)
  t.ok(performance.now() - before < 900, 'at once')
  t.same(
    asked.map(({ headers }) => headers['idempotency-key']),
    ['k-1', undefined],
  )
  const gone = await setUp(t, [problem(503, 'database_unavailable'), problem(404, 'not_found')])
  t.equal((await failureOf(gone.api.change(release))).unknownUnder, null, 'the first try had done nothing')
  const lost = await setUp(t, [resetting, problem(503, 'database_unavailable'), problem(404, 'not_found')])
  t.equal(
    (await failureOf(lost.api.change(release))).unknownUnder,
    'k-1',
    'the first try may have released it',
  )
})

t.test('nobody there: that is said, and that nothing was sent', async (t) => {
  const url = `http://127.0.0.1:${await closedPort()}`
  const wanted = { kind: 'unreachable', cause: 'ECONNREFUSED', wasSent: false, unknownUnder: null, url }
  t.match(await failureOf(connect(t, url).get('/v1/things', 'id')), wanted)
  t.match(await failureOf(connect(t, url).change(change)), wanted)
})

t.test('a server that is silent is left after the time of the call, repetitions included', async (t) => {
  const { api, asked } = await setUp(t, [problem(503, 'database_unavailable'), stayingSilent], {
    timeoutMs: 600,
  })
  const before = performance.now()
  t.match(await failureOf(api.change(change)), {
    kind: 'timeout',
    afterMs: 600,
    wasSent: true,
    unknownUnder: 'k-1',
  })
  t.ok(performance.now() - before < 5000)
  t.equal(asked.length, 2)
  t.match(await failureOf(api.get('/v1/things', 'id')), { kind: 'timeout', unknownUnder: null })
})

t.test('a pause that would outlast the call ends it with what happened', async (t) => {
  const { api } = await setUp(t, [problem(503, 'database_unavailable', 3)], { timeoutMs: 300 })
  t.match(await failureOf(api.change(change)), { kind: 'refused', status: 503, unknownUnder: 'k-1' })
})

t.test('what is not the admin API is told from it', async (t) => {
  const cases: [name: string, answer: Answer, wanted: object][] = [
    ['a page', saying(200, 'text/html; charset=utf-8', '<p>'), { status: 200, found: 'a body of text/html' }],
    ['JSON that is no document', json([1]), { status: 200 }],
    ['a document of another program', json({ hello: 'world' }), { found: 'a body of application/json' }],
    ['an error page', saying(502, 'text/html', '<h1>'), { status: 502, found: 'a body of text/html' }],
    ['an error of another API', json({ error: 'no' }, 404), { status: 404 }],
    ['nothing', saying(204, '', ''), { status: 204, found: 'something' }],
    ['elsewhere', saying(302, 'text/plain', ''), { status: 302 }],
  ]
  for (const [name, answer, wanted] of cases) {
    const { api } = await setUp(t, [answer])
    t.match(await failureOf(api.get('/v1/things', 'id')), { kind: 'foreign', ...wanted }, name)
  }
})

t.test('something that does not speak HTTP', async (t) => {
  const server = createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'))
  const { port, close } = await listen(server)
  t.teardown(close)
  t.match(await failureOf(connect(t, `http://127.0.0.1:${port}`).get('/v1/things', 'id')), {
    kind: 'unreachable',
  })
})

t.test('no failure holds the token', async (t) => {
  for (const answer of [resetting, problem(401, 'unauthorized'), saying(200, 'text/html', '<p>')]) {
    const { api } = await setUp(t, [answer], { token: 's3cret' })
    const error: unknown = await api.get('/v1/things', 'id').catch((error: unknown) => error)
    const { message, stack, failure } = error as Error & { failure: Failure }
    t.notMatch(message + stack + JSON.stringify(failure), 's3cret')
  }
})
