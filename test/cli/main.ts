// The command line against the whole program, and as a process.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCli, runHere, type Ran } from '../fixtures/command-line.ts'
import { closedPort } from '../fixtures/listen.ts'
import { startLanekeeper } from '../fixtures/processes.ts'
import { connectThrough } from '../fixtures/raw-client.ts'
import { json, startScriptedApi } from '../fixtures/scripted-api.ts'
import { startEchoTarget } from '../fixtures/tcp-target.ts'
import { startTinyproxy } from '../fixtures/tinyproxy.ts'
import { until } from '../fixtures/until.ts'

/** A drain takes seconds: every gateway must say that it knows. */
t.setTimeout(90_000)

/** With a token, for all tests of this file. */
const lanekeeper = await startLanekeeper({
  ADMIN_TOKEN: 's3cret',
  LOG_LEVEL: 'silent',
  ALLOW_PRIVATE_TARGETS: 'true',
  TARGET_PORTS: '*',
})
t.teardown(() => lanekeeper.stop())
const env = { ADMIN_URL: `http://127.0.0.1:${lanekeeper.adminPort}`, ADMIN_TOKEN: 's3cret' }

/** In this process: each of its own would take half a second. */
function cli(line: string, ...more: string[]): Promise<Ran> {
  return runHere([...line.split(' '), ...more], env)
}

async function documentOf(ran: Promise<Ran>) {
  const { code, out, err } = await ran
  if (code !== 0) throw new Error(`exit code ${code}: ${err}`)
  return JSON.parse(out)
}

t.test('a day at the desk', async (t) => {
  const target = await startEchoTarget()
  t.teardown(target.stop)

  const { items } = await documentOf(cli('upstreams list --json'))
  t.equal(items.length, 3)
  const [{ id: first }] = items
  const list = await runCli(['upstreams', 'list'], env)
  t.equal(list.code, 0)
  for (const { id } of items) t.match(list.out, new RegExp(`^${id} .* running `, 'm'))
  t.match(list.out, /\n3 upstreams\n$/)

  const added = await cli(
    `restrictions add --kind exclusive --type payment --ids ${first} --id pay`,
    '--reason',
    'to try it',
  )
  t.equal(added.code, 0, added.err)
  t.match((await cli('restrictions list')).out, /^pay +exclusive +payment/m)
  const eligible = await until('the rule is published', async () => {
    const { eligible } = await documentOf(cli('explain --type payment --json'))
    return eligible.length < 3 && eligible
  })
  t.same(eligible, [first])
  t.match((await cli('explain')).out, new RegExp(`${first} +is exclusive to other lanes +pay`))

  const { socket } = await connectThrough({
    gatewayPort: lanekeeper.gatewayPort!,
    target: `127.0.0.1:${target.port}`,
    userinfo: 'job=job-1,type=payment:x',
  })
  t.teardown(() => socket.destroy())
  t.match((await cli('jobs show job-1')).out, new RegExp(`^upstream\\.id +${first}$`, 'm'))
  t.equal((await cli('jobs report job-1 --outcome blocked')).code, 0)
  t.match((await cli('jobs reports job-1')).out, /blocked/)

  const evicted = await cli(
    'restrictions replace pay --kind deny --type payment',
    '--ids',
    first,
    '--evict',
    '--wait',
  )
  t.equal(evicted.code, 0, evicted.err)
  t.match(evicted.err, /\n1 job released\.\n$/)
  t.equal((await cli('jobs show job-1')).code, 1)

  const proxy = await startTinyproxy()
  t.teardown(proxy.stop)
  const created = await documentOf(
    cli(`upstreams create --address 127.0.0.1:${proxy.port} --label pool=cl --wait --json`),
  )
  t.equal(created.state, 'running')
  t.match(
    (await cli(`upstreams quarantine ${created.id}`, '--reason', 'broken', '--actor', 'alice')).out,
    /is quarantined/,
  )
  t.match((await cli('upstreams list')).out, /running \(quarantined\) .*pool=cl$/m)
  t.equal((await cli(`upstreams release ${created.id}`)).code, 0)
  t.match(await cli(`upstreams drain ${created.id} --deadline 1m --wait`), {
    code: 0,
    out: /is drained\.\n$/,
  })
  t.match((await cli('upstreams list')).out, /draining \(drained\) .*pool=cl$/m)
  t.match((await cli(`upstreams cancel ${created.id}`)).out, /gets new jobs again/)
  t.match(await cli(`upstreams delete ${created.id} --wait`), { code: 0, out: /is deleted\.\n$/ })
  t.match((await cli(`upstreams show ${created.id}`)).out, /^state +deleted$/m)
  t.equal((await cli('restrictions remove pay')).code, 0)

  const ledger = await cli(`ledger list --about ${created.id}`)
  t.match(ledger.out, new RegExp(`admin:alice +quarantined upstream ${created.id} +broken`))
  t.match(await cli('ledger verify'), { code: 0, out: /^The ledger is whole: \d+ changes/ })
  const { version } = (await documentOf(cli('ledger list --limit 1 --json'))).items[0]
  t.match((await cli(`ledger show ${version}`)).out, /^removed restriction pay: /m)

  const wrong = await runCli(['upstreams', 'list'], { ...env, ADMIN_TOKEN: 'other' })
  t.equal(wrong.code, 1)
  t.match(wrong.err, /401 unauthorized.*ADMIN_TOKEN is not the token of/s)
  t.notMatch(wrong.err, 's3cret')
})

t.test(
  'the fleet grows, one is replaced, it shrinks again, and a sync finds all as it should be',
  async (t) => {
    t.match(await cli('fleet size 4 --wait'), { code: 0, out: 'The fleet has 4 upstreams running.\n' })
    const { items } = await documentOf(cli('upstreams list --json'))
    const recycled = await cli(`upstreams recycle ${items[0].id} --wait`)
    t.match(recycled, { code: 0, out: new RegExp(`^Upstream ${items[0].id} is deleted; \\S+ is running`) })
    t.match(await cli(`upstreams delete ${items[1].id} --force --wait`), { code: 0, out: /is deleted/ })
    t.match(
      (await cli('fleet show')).out,
      /^wanted +3\nprovisioning +0\nrunning +3$/m,
      'which is less by one',
    )
    const sync = await cli('sync --wait')
    t.match(sync, {
      code: 0,
      out: /^Sync \S+ is done: .*\n3 machines listed, 3 upstreams recorded; 0 corrected/,
    })
    t.equal((await cli('sync report')).out, sync.out)
  },
)

t.test('the same key does it once', async (t) => {
  const create = 'upstreams create --address 127.0.0.1:9 --json --idempotency-key once'
  const [first, second] = [await documentOf(cli(create)), await documentOf(cli(create))]
  t.equal(first.id, second.id)
  t.match((await cli('upstreams list')).out, /\n4 upstreams\n$/)
  const other = await cli('upstreams create --address 127.0.0.1:10 --idempotency-key once')
  t.equal(other.code, 1)
  t.match(other.err, /422 idempotency_mismatch.*Leave --idempotency-key out/s)
})

t.test('a wrong command line or configuration is 2, and says what is wrong', async (t) => {
  const cases: [line: string, env: { [name: string]: string }, wanted: RegExp][] = [
    [
      'upstreams list --stat running',
      {},
      /no flag "--stat" here\. Did you mean --state\?\nUsage: .*\nHelp: lanekeeper upstreams list --help\n$/,
    ],
    ['upstreams lst', {}, /Did you mean "upstreams list"\?/],
    ['upstreams list', { ADMIN_URL: 'control' }, /cannot go on: .*\n {2}- admin\.url \(ADMIN_URL\)/],
    ['upstreams list', { ADMIN_PORT: '0' }, /--url or ADMIN_URL/],
  ]
  for (const [line, env, wanted] of cases) {
    const { code, out, err } = await runCli(line.split(' '), env)
    t.equal(code, 2, line)
    t.equal(out, '', line)
    t.match(err, wanted, line)
  }
})

t.test('help goes to where it can be read on: asked for or not', async (t) => {
  t.match(await runCli(['--help']), { code: 0, out: /^Lanekeeper keeps every job/, err: '' })
  t.match(await runCli([]), { code: 2, out: '', err: /^Lanekeeper keeps every job/ })
})

t.test('where nobody answers it says so, and ends', async (t) => {
  const { code, err } = await runCli(['ledger', 'verify'], { ADMIN_PORT: String(await closedPort()) })
  t.equal(code, 1)
  t.match(err, /^Nothing answers at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)\.\nStart the program/)
})

t.test('a reader that has seen enough is no failure', async (t) => {
  const items = Array(20_000).fill({ id: 'up-1', state: 'running', host: '10.0.0.5', port: 8888 })
  const { url } = await startScriptedApi(t, json({ items, next: null }))
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'upstreams', 'list', '--url', url], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  })
  let err = ''
  child.stderr.on('data', (chunk) => (err += String(chunk)))
  child.stdout.once('data', () => child.stdout.destroy())
  t.strictSame(await once(child, 'close'), [0, null])
  t.equal(err, '')
})
