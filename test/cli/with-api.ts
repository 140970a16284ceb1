// What all commands of the admin API have in common, seen through one of them.

import { userInfo } from 'node:os'
import t from 'tap'
import { urlOf } from '../../src/cli/with-api.ts'
import { closedPort } from '../fixtures/listen.ts'
import { runHere } from '../fixtures/command-line.ts'
import { json, problem, resetting, startScriptedApi, stayingSilent } from '../fixtures/scripted-api.ts'

const upstream = {
  id: 'up-1',
  state: 'running',
  host: '10.0.0.5',
  port: 8888,
  pins: 2,
  tunnels: 1,
  version: 7,
}

t.test('the API is where the settings say', (t) => {
  const cases: [url: string | null, host: string, port: number, wanted: string][] = [
    ['https://ops.example/x', '127.0.0.1', 3129, 'https://ops.example/x'],
    [null, '127.0.0.1', 3129, 'http://127.0.0.1:3129'],
    [null, 'control.internal', 80, 'http://control.internal:80'],
    [null, '0.0.0.0', 3129, 'http://127.0.0.1:3129'],
    [null, '::', 3129, 'http://[::1]:3129'],
    [null, 'fd00::5', 3129, 'http://[fd00::5]:3129'],
  ]
  for (const [url, host, port, wanted] of cases)
    t.equal(urlOf({ 'admin.url': url, 'admin.host': host, 'admin.port': port }), wanted, wanted)
  t.throws(() => urlOf({ 'admin.url': null, 'admin.host': 'x', 'admin.port': 0 }), /--url or ADMIN_URL/)
  t.end()
})

t.test('--url beats ADMIN_URL, and ADMIN_TOKEN goes along', async (t) => {
  const { url, asked } = await startScriptedApi(t, json(upstream))
  const nobody = `http://127.0.0.1:${await closedPort()}`
  const env = { ADMIN_URL: nobody, ADMIN_TOKEN: 's3cret' }
  t.equal((await runHere(['upstreams', 'show', 'up-1', '--url', url], env)).code, 0)
  t.equal(asked[0]!.headers.authorization, 'Bearer s3cret')
  const { code, err } = await runHere(['upstreams', 'show', 'up-1'], env)
  t.equal(code, 1)
  t.match(err, `Nothing answers at ${nobody}`)
  t.notMatch(err, 's3cret')
})

t.test('ADMIN_HOST and ADMIN_PORT are enough', async (t) => {
  const { url } = await startScriptedApi(t, json(upstream))
  const { hostname, port } = new URL(url)
  t.equal((await runHere(['upstreams', 'show', 'up-1'], { ADMIN_HOST: hostname, ADMIN_PORT: port })).code, 0)
})

t.test('--json is the document on one line, as the API gave it, and nothing else', async (t) => {
  const hostile = { ...upstream, name: '\u001b[2J\u009b31m\u202e"\n', unknown: { new: [1] } }
  const { url } = await startScriptedApi(t, json(hostile))
  const { code, out, err } = await runHere(['upstreams', 'show', 'up-1', '--json'], { ADMIN_URL: url })
  t.equal(code, 0)
  t.strictSame(JSON.parse(out), hostile)
  t.match(out, /^[\x20-\x7e]+\n$/, 'and paints no terminal')
  t.equal(err, '')
})

t.test('with --json a failure is a problem document on the other stream', async (t) => {
  const { url } = await startScriptedApi(t, problem(404, 'not_found'))
  const { code, out, err } = await runHere(['upstreams', 'show', 'up-1', '--json'], { ADMIN_URL: url })
  t.equal(code, 1)
  t.equal(out, '')
  t.match(JSON.parse(err), { type: 'urn:lanekeeper:error:not_found', status: 404, code: 'not_found' })
  const nobody = `http://127.0.0.1:${await closedPort()}`
  const alone = await runHere(['upstreams', 'show', 'up-1', '--json'], { ADMIN_URL: nobody })
  t.match(JSON.parse(alone.err), { code: 'unreachable', status: null })
})

t.test('who does it: as told, else the user of this machine', async (t) => {
  const { url, asked } = await startScriptedApi(t, json(upstream))
  const words = ['upstreams', 'release', 'up-1', '--url', url]
  await runHere(words)
  await runHere([...words, '--actor', 'alice@example.com'])
  t.equal(asked[0]!.headers['x-actor'], userInfo().username)
  t.equal(asked[1]!.headers['x-actor'], 'alice@example.com')
  await t.rejects(runHere([...words, '--actor', 'al ice']), { message: /--actor must be 1 to 64/ })
})

t.test('each run has a key of its own, unless one is given', async (t) => {
  const { url, asked } = await startScriptedApi(t, json(upstream))
  const words = ['upstreams', 'release', 'up-1', '--url', url]
  for (const more of [[], [], ['--idempotency-key', 'mine']]) await runHere([...words, ...more])
  const [first, second, third] = asked.map(({ headers }) => headers['idempotency-key'])
  t.match(first, /^[0-9a-f-]{36}$/)
  t.not(first, second)
  t.equal(third, 'mine')
})

t.test('a change whose end is not known: with the key that is told it is done once', async (t) => {
  const { url, asked } = await startScriptedApi(t, resetting, resetting, resetting, json(upstream))
  const words = ['upstreams', 'quarantine', 'up-1', '--url', url]
  const { code, err } = await runHere(words)
  t.equal(code, 1)
  const key = /--idempotency-key (\S+)$/m.exec(err)?.[1]
  t.equal((await runHere([...words, '--idempotency-key', key!])).code, 0)
  t.same(new Set(asked.map(({ headers }) => headers['idempotency-key'])), new Set([key]))
})

t.test('--timeout is how long it waits', async (t) => {
  const { url } = await startScriptedApi(t, stayingSilent)
  const { code, err } = await runHere(['explain', '--url', url, '--timeout', '1'])
  t.equal(code, 1)
  t.match(err, /did not answer within 1 s/)
})

t.test('lists say how many there are, whether there are more, and that there are none', async (t) => {
  const rule = {
    id: 'r',
    kind: 'deny',
    type: '*',
    institution: 'b',
    upstreams: { ids: ['a'] },
    overflow: false,
  }
  const list = async (page: object, ...flags: string[]) => {
    const { url, asked } = await startScriptedApi(t, json(page))
    const { out } = await runHere(['restrictions', 'list', '--url', url, ...flags])
    return { out, path: asked[0]!.path }
  }
  const two = await list({ items: [rule, rule], next: null })
  t.match(two.out, /^ID +KIND .*\nr +deny .*\nr +deny .*\n\n2 restrictions\n$/)
  t.equal(two.path, '/v1/restrictions?limit=1000')
  const more = await list({ items: [rule], next: 'x' }, '--limit', '1')
  t.match(more.out, /\n1 restriction; there are more: --all or a higher --limit shows them\n$/)
  t.equal(more.path, '/v1/restrictions?limit=1')
  t.equal((await list({ items: [], next: null })).out, 'no restrictions\n')
  t.same(JSON.parse((await list({ items: [rule], next: 'x' }, '--limit', '1', '--json')).out), {
    items: [rule],
    next: 'x',
  })
  await t.rejects(list({}, '--all', '--limit', '1'), { message: 'Give --all or --limit, not both.' })
})
