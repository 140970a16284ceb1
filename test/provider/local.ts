import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { makeLocalProvider, type LocalProviderSettings } from '../../src/provider/local.ts'
import { endProcess, isRunning, markProcess } from '../../src/provider/local-process.ts'
import type { LocalRecord } from '../../src/provider/local-records.ts'
import type { Instance, Provider } from '../../src/provider/provider.ts'
import type { Labels } from '../../src/types.ts'
import { accepts } from '../fixtures/accepts.ts'
import {
  carries,
  createMany,
  createOne,
  deletionOf,
  drafting,
  idsOf,
  orderOf,
  providerLists,
  providerMakes,
  rejectsWith,
} from '../fixtures/provider-contract.ts'
import { listen } from '../fixtures/listen.ts'
import { connectThrough, requestOver } from '../fixtures/raw-client.ts'
import { startTarget } from '../fixtures/target.ts'
import { until } from '../fixtures/until.ts'

const forms = { 'local (tinyproxy)': 'auto', 'local (built-in)': 'never' } as const

for (const [name, tinyproxy] of Object.entries(forms)) {
  const make = (t: Test) => makeProvider(t, { tinyproxy })
  providerMakes(t, name, make)
  providerLists(t, name, make)

  t.test(`${name}: close ends all that was made, and leaves no file`, async (t) => {
    const dataDir = t.testdir()
    const provider = makeProvider(t, { dataDir, tinyproxy })
    const made = await createMany(provider, 3)
    const servers = recordsIn(dataDir).map(({ server }) => server)
    await provider.close()
    for (const { port } of made) t.notOk(await accepts(port))
    if (tinyproxy === 'auto') t.notOk(servers.some(isRunning))
    t.strictSame(readdirSync(join(dataDir, 'local')), [])
  })

  t.test(`${name}: one that ended with its process starts again as it was`, async (t) => {
    const dataDir = t.testdir()
    const before = makeProvider(t, { dataDir, tinyproxy })
    const [made] = await createMany(before, 1)
    const place = await before.place()
    await before.close()
    const after = makeProvider(t, { dataDir, tinyproxy })
    t.strictSame(await after.resume!(made!), made)
    t.equal(await carries(t, made!), 200)
    t.strictSame((await after.list()).instances, [made])
    t.equal(await after.place(), place, 'the folder is still the same one')
    t.not(
      await makeProvider(t, { dataDir: mkdtempSync(join(dataDir, 'other-')) }).place(),
      place,
      'and another one is another',
    )
  })

  t.test(`${name}: it does not start again where another program has its port`, async (t) => {
    const dataDir = t.testdir()
    const before = makeProvider(t, { dataDir, tinyproxy })
    const [made] = await createMany(before, 1)
    await before.close()
    const other = await listen(createServer(), { port: made!.port })
    t.teardown(other.close)
    const after = makeProvider(t, { dataDir, tinyproxy })
    await t.rejects(after.resume!(made!), { name: 'ProviderError' })
    t.strictSame((await after.list()).instances, [])
  })

  t.test(`${name}: nor where it was to have an egress IP of another kind`, async (t) => {
    const dataDir = t.testdir()
    const [made] = await createMany(makeProvider(t, { dataDir, tinyproxy }), 1)
    const sourced = makeProvider(t, { dataDir, tinyproxy, sourceAddresses: true })
    await rejectsWith(t, sourced.resume!(made!), 'refused', /local\.sourceAddresses has changed/)
  })

  t.test(`${name}: close ends one that is still being made`, async (t) => {
    const dataDir = t.testdir()
    const provider = makeProvider(t, { dataDir, tinyproxy })
    await createOne(provider)
    const creating = createOne(provider)
    const refused = rejectsWith(t, creating, 'unavailable', /closed/)
    await provider.close()
    await refused
    t.strictSame(readdirSync(join(dataDir, 'local')), [])
    await rejectsWith(t, createOne(provider), 'unavailable', /closed/)
  })

  t.test(`${name}: when close has resolved, nothing is being made any more`, async (t) => {
    for (let turnsBefore = 0; turnsBefore < 12; turnsBefore += 1) {
      const provider = makeProvider(t, { tinyproxy })
      let isSettled = false
      const settle = () => void (isSettled = true)
      createOne(provider).then(settle, settle)
      for (let turn = 0; turn < turnsBefore; turn += 1) await new Promise(setImmediate)
      await provider.close()
      t.ok(isSettled, `closed ${turnsBefore} turns of the event loop after it was ordered`)
    }
  })

  t.test(`${name}: closed, it starts none again`, async (t) => {
    const dataDir = t.testdir()
    const provider = makeProvider(t, { dataDir, tinyproxy })
    const made = await createOne(provider)
    await provider.close()
    await rejectsWith(t, provider.resume!(made), 'unavailable', /closed/)
    t.strictSame(readdirSync(join(dataDir, 'local')), [])
  })

  t.test(`${name}: with source addresses a target sees the egress IP of each`, async (t) => {
    const target = await startTarget()
    t.teardown(() => target.close())
    const made = await createMany(makeProvider(t, { tinyproxy, sourceAddresses: true }), 3)
    t.equal(new Set(made.map(({ egressIp }) => egressIp)).size, 3)
    for (const { port, egressIp } of made) {
      t.match(egressIp, /^127\.0\.\d+\.\d+$/)
      const { socket } = await connectThrough({ gatewayPort: port, target: `127.0.0.1:${target.port}` })
      await requestOver(socket)
      socket.destroy()
      t.equal(target.requests.at(-1)?.address, egressIp)
    }
  })

  t.test(`${name}: without source addresses nobody knows the egress IP`, async (t) => {
    const [made] = await createMany(makeProvider(t, { tinyproxy }), 1)
    t.equal(made?.egressIp, null)
  })

  t.test(`${name}: a target that cannot be reached is 500`, async (t) => {
    const [made] = await createMany(makeProvider(t, { tinyproxy }), 1)
    const { status, socket } = await connectThrough({ gatewayPort: made!.port, target: '127.0.0.1:1' })
    socket.destroy()
    t.equal(status, 500)
  })

  t.test(`${name}: at maxClients the next one is taken by nobody, until one goes`, async (t) => {
    const target = await startTarget()
    t.teardown(() => target.close())
    const [made] = await createMany(makeProvider(t, { tinyproxy, maxClients: 2 }), 1)
    const connect = () => connectThrough({ gatewayPort: made!.port, target: `127.0.0.1:${target.port}` })
    const first = await connect()
    const second = await connect()
    t.teardown(() => second.socket.destroy())
    let third: number | null = null
    const waiting = connect().then(({ status, socket }) => {
      third = status
      socket.destroy()
    })
    t.equal((await requestOver(second.socket)).status, 200)
    t.equal(third, null)
    first.socket.destroy()
    await waiting
    t.equal(third, 200)
  })
}

t.test('auto means real tinyproxy processes, which are not root and survive a Ctrl-C of ours', async (t) => {
  const dataDir = t.testdir()
  await createMany(makeProvider(t, { dataDir, tinyproxy: 'auto' }), 1)
  const [record] = recordsIn(dataDir)
  t.equal(record?.kind, 'tinyproxy')
  const pid = String(record?.server.pid)
  t.match(
    execFileSync('ps', ['-o', 'comm=,uid=,pgid=', '-p', pid], { encoding: 'utf8' }).trim().split(/\s+/),
    ['tinyproxy', process.getuid?.() === 0 ? '65534' : String(process.getuid?.()), pid],
  )
})

t.test('without the program the built-in proxy serves', async (t) => {
  const dataDir = t.testdir()
  const provider = makeProvider(t, { dataDir, tinyproxy: 'auto', tinyproxyCommand: 'no-such-tinyproxy' })
  const [made] = await createMany(provider, 1)
  t.equal(recordsIn(dataDir)[0]?.kind, 'built-in')
  t.equal(await carries(t, made!), 200)
})

t.test('a program that ends at once is told with its last words, and leaves nothing', async (t) => {
  const dataDir = t.testdir()
  const tinyproxyCommand = program(t, 'echo "first line" >&2; echo "no such interface" >&2; exit 70')
  const provider = makeProvider(t, { dataDir, tinyproxy: 'auto', tinyproxyCommand })
  await rejectsWith(t, createOne(provider), 'unavailable', /exit code 70.*: no such interface$/)
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('a process that does not heed SIGTERM is killed', async (t) => {
  const dataDir = t.testdir()
  const tinyproxyCommand = program(
    t,
    `exec ${process.execPath} -e '
      const [, port] = /Port (.*)/.exec(require("fs").readFileSync(process.argv[1], "utf8"))
      process.on("SIGTERM", () => {})
      require("net").createServer().listen(port, "127.0.0.1")' "$3"`,
  )
  const provider = makeProvider(t, { dataDir, tinyproxy: 'auto', tinyproxyCommand, graceMs: 50 })
  const [made] = await createMany(provider, 1)
  const [record] = recordsIn(dataDir)
  t.ok(isRunning(record!.server))
  await provider.delete(deletionOf(made!))
  t.notOk(isRunning(record!.server))
})

t.test('an upstream that died is neither listed nor read any more', async (t) => {
  const dataDir = t.testdir()
  const provider = makeProvider(t, { dataDir, tinyproxy: 'auto' })
  const [first, second] = await createMany(provider, 2)
  const record = recordsIn(dataDir).find(({ instance }) => instance.id === first?.id)
  process.kill(record!.server.pid, 'SIGKILL')
  await until('it is gone', () => !isRunning(record!.server))
  t.strictSame((await provider.list()).instances, [second])
  t.equal(await provider.read(first!), null)
  await t.resolves(provider.delete(deletionOf(first!)))
})

t.test('what a crash left running is listed and can be deleted', async (t) => {
  const dataDir = t.testdir()
  const { made, crash } = await startMaker(t, { dataDir, count: 2 })
  await crash()
  const servers = recordsIn(dataDir).map(({ server }) => server)
  t.equal(servers.filter(isRunning).length, 2)

  const provider = makeProvider(t, { dataDir })
  t.strictSame(idsOf((await provider.list()).instances), idsOf(made))
  for (const instance of made) await provider.delete(deletionOf(instance))
  t.strictSame(servers.filter(isRunning), [])
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('built-in proxies end with their process, so a crash leaves none of them', async (t) => {
  const dataDir = t.testdir()
  const { crash } = await startMaker(t, { dataDir, count: 2, tinyproxy: 'never' })
  await crash()
  t.strictSame((await makeProvider(t, { dataDir }).list()).instances, [])
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('upstreams of another process that runs are neither listed nor deleted', async (t) => {
  const dataDir = t.testdir()
  const { made } = await startMaker(t, { dataDir, count: 1 })
  const provider = makeProvider(t, { dataDir })
  t.strictSame((await provider.list()).instances, [])
  await rejectsWith(t, provider.delete(deletionOf(made[0]!)), 'unavailable', /belongs to process \d+/)
  await rejectsWith(t, provider.create(orderOf(made[0]!)), 'unavailable', /belongs to process \d+/)
  t.equal(await carries(t, made[0]!), 200)
})

t.test('a pid that now belongs to somebody else is never ended', async (t) => {
  const dataDir = t.testdir()
  const stranger = spawn('sleep', ['600'])
  t.teardown(() => stranger.kill('SIGKILL'))
  const { made, crash } = await startMaker(t, { dataDir, count: 1 })
  await crash()
  const [record] = recordsIn(dataDir)
  process.kill(record!.server.pid, 'SIGKILL')
  writeRecord(dataDir, { ...record!, server: { ...record!.server, pid: stranger.pid! } })
  const provider = makeProvider(t, { dataDir })
  await provider.delete(deletionOf(made[0]!))
  t.ok(markProcess(stranger.pid!))
  t.strictSame((await provider.list()).instances, [])
})

t.test('records of another host are left alone', async (t) => {
  const dataDir = t.testdir()
  const { made, crash } = await startMaker(t, { dataDir, count: 1, hostname: 'elsewhere' })
  const provider = makeProvider(t, { dataDir })
  await crash()
  t.strictSame((await provider.list()).instances, [])
  await provider.delete(deletionOf(made[0]!))
  t.ok(existsSync(join(dataDir, 'local', `${made[0]!.id}.json`)))
  const elsewhere = makeProvider(t, { dataDir, hostname: 'elsewhere' })
  await elsewhere.delete(deletionOf(made[0]!))
})

t.test('a file that is no record of ours is left alone', async (t) => {
  const dataDir = t.testdir({ local: { 'half.json': '{"format": 1, "inst', 'later.json': '{"format": 2}' } })
  t.strictSame((await makeProvider(t, { dataDir }).list()).instances, [])
  t.strictSame(readdirSync(join(dataDir, 'local')), ['half.json', 'later.json'])
})

t.test('a folder that cannot be written to is told', async (t) => {
  const dataDir = join(t.testdir({ file: '' }), 'file')
  const provider = makeProvider(t, { dataDir })
  await rejectsWith(t, createOne(provider), 'unavailable', /refused: (ENOTDIR|EEXIST).*file/)
})

t.test('a name or an id that cannot become a file name is refused', async (t) => {
  const dataDir = t.testdir()
  const provider = makeProvider(t, { dataDir })
  const draft = provider.draft(drafting())
  const wrong = ['', '../up', 'a b', '-a', 'a'.repeat(129)].flatMap((text) => [{ name: text }, { id: text }])
  for (const said of wrong) {
    await rejectsWith(t, provider.create(orderOf({ ...draft, ...said })), 'refused', /is no name for/)
  }
  for (const id of ['', '..', '../../etc/passwd'])
    await t.resolves(provider.delete(deletionOf({ id, zone: null, incarnation: null })))
  t.strictSame(readdirSync(dataDir), ['folder-id'])
})

t.test('a draft has the smallest number that is free, and the labels configured for it', async (t) => {
  const provider = makeProvider(t, { labels: [{ pool: 'a', tier: '1' }, { pool: 'b' }] })
  const named = (...names: string[]) => names.map((name) => ({ name, zone: null }))
  const rows: [standing: string[], asked: Labels | null, name: string, labels: Labels][] = [
    [[], null, 'local-1', { pool: 'a', tier: '1' }],
    [['local-1'], null, 'local-2', { pool: 'b' }],
    [['local-2', 'other'], null, 'local-1', { pool: 'a', tier: '1' }],
    [['local-1', 'local-2'], null, 'local-3', {}],
    [[], { pool: 'mine', name: 'mine' }, 'local-1', { pool: 'mine', tier: '1' }],
  ]
  for (const [standing, labels, name, expected] of rows) {
    const draft = provider.draft(drafting({ standing: named(...standing), labels, suffix: '12345678' }))
    t.strictSame(draft, {
      id: `${name}-12345678`,
      name,
      zone: null,
      labels: { ...expected, name },
      credentials: null,
    })
  }
})

t.test('what it answers says where it is and since when', async (t) => {
  const provider = makeProvider(t, { now: () => 1_700_000_000_000 })
  const told = {
    zone: await provider.place(),
    incarnation: null,
    status: 'running',
    createdAtMs: 1_700_000_000_000,
  }
  t.match(await createOne(provider), told)
  t.match((await provider.list()).instances, [told])
})

t.test('its name is one of its labels, whatever the order says', async (t) => {
  const provider = makeProvider(t, {})
  const order = orderOf({ ...provider.draft(drafting()), name: 'mine', labels: { name: 'other' } })
  t.strictSame((await provider.create(order)).labels, { name: 'mine' })
})

t.test('started again, one has the labels that are configured today beside its own', async (t) => {
  const dataDir = t.testdir()
  const before = makeProvider(t, { dataDir, labels: [{ pool: 'old' }] })
  const made = await before.create(orderOf(before.draft(drafting({ labels: { own: 'yes' } }))))
  await before.close()
  const after = makeProvider(t, { dataDir, labels: [{ pool: 'new' }] })
  const { labels } = await after.resume!(made)
  t.strictSame(labels, { own: 'yes', pool: 'new', name: 'local-1' })
})

t.test('what is in another data folder is nobody’s business here', async (t) => {
  const provider = makeProvider(t, {})
  const made = await createOne(makeProvider(t, { dataDir: mkdtempSync(join(t.testdir(), 'other-')) }))
  await rejectsWith(t, provider.read(made), 'refused', /another data folder/)
  await rejectsWith(t, provider.delete(deletionOf(made)), 'refused', /another data folder/)
  await rejectsWith(t, provider.create(orderOf(made)), 'refused', /another data folder/)
  t.equal(await carries(t, made), 200)
})

t.test('an order whose machine was left by a crash ends that first', async (t) => {
  const dataDir = t.testdir()
  const { made, crash } = await startMaker(t, { dataDir, count: 1 })
  await crash()
  const [before] = recordsIn(dataDir)
  const provider = makeProvider(t, { dataDir })
  const again = await provider.create(orderOf(made[0]!))
  t.equal(again.id, made[0]!.id)
  t.notOk(isRunning(before!.server))
  t.strictSame((await provider.list()).instances, [again])
  t.equal(await carries(t, again), 200)
})

t.test('an order whose machine died is done again', async (t) => {
  const dataDir = t.testdir()
  const provider = makeProvider(t, { dataDir, tinyproxy: 'auto' })
  const order = orderOf(provider.draft(drafting()))
  await provider.create(order)
  const [record] = recordsIn(dataDir)
  process.kill(record!.server.pid, 'SIGKILL')
  await until('it is gone', () => !isRunning(record!.server))
  const again = await provider.create(order)
  t.equal(await carries(t, again), 200)
  t.strictSame((await provider.list()).instances, [again])
})

t.test('a create that is aborted leaves nothing', async (t) => {
  const dataDir = t.testdir()
  const tinyproxyCommand = program(t, 'exec sleep 600')
  const provider = makeProvider(t, { dataDir, tinyproxyCommand })
  const abort = new AbortController()
  const creating = provider.create(orderOf(provider.draft(drafting())), abort.signal)
  const refused = t.rejects(creating, { message: 'not any more' })
  await until('it has begun', () => existsSync(join(dataDir, 'local')) && recordsIn(dataDir).length === 1)
  const [record] = recordsIn(dataDir)
  abort.abort(new Error('not any more'))
  await refused
  t.notOk(isRunning(record!.server))
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('one that is started again, or is there already, may be aborted too', async (t) => {
  const tinyproxyCommand = program(t, 'exec sleep 600')
  const dataDir = dirname(tinyproxyCommand)
  const before = makeProvider(t, { dataDir })
  const order = orderOf(before.draft(drafting()))
  const made = await before.create(order)
  const gone = new Error('not any more')
  await t.rejects(before.create(order, AbortSignal.abort(gone)), { message: gone.message })
  await before.close()

  const provider = makeProvider(t, { dataDir, tinyproxyCommand })
  const abort = new AbortController()
  const refused = t.rejects(provider.resume!(made, abort.signal), { message: gone.message })
  await until('it has begun', () => recordsIn(dataDir).length === 1)
  abort.abort(gone)
  await refused
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('a delete waits for what is still being made, and ends it', async (t) => {
  const dataDir = t.testdir()
  const provider = makeProvider(t, { dataDir })
  const order = orderOf(provider.draft(drafting()))
  const creating = provider.create(order)
  await provider.delete(deletionOf({ ...order, incarnation: null }))
  t.notOk(await accepts((await creating).port))
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('records of an older program have no time, and are listed all the same', async (t) => {
  const dataDir = t.testdir()
  const { made, crash } = await startMaker(t, { dataDir, count: 1 })
  await crash()
  const [record] = recordsIn(dataDir)
  const { createdAtMs, ...older } = record!.instance
  t.type(createdAtMs, 'number')
  writeRecord(dataDir, { ...record!, instance: older })
  const provider = makeProvider(t, { dataDir })
  t.strictSame((await provider.list()).instances, [{ ...made[0]!, createdAtMs: null }])
})

function makeProvider(t: Test, settings: Partial<LocalProviderSettings>): Provider {
  const provider = makeLocalProvider({
    dataDir: settings.dataDir ?? t.testdir(),
    sourceAddresses: false,
    tinyproxy: 'auto',
    maxClients: 10,
    labels: [],
    hostname: 'here',
    ...settings,
  })
  t.teardown(() => provider.close())
  return provider
}

function recordsIn(dataDir: string): LocalRecord[] {
  const folder = join(dataDir, 'local')
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
  return files.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
}

function writeRecord(dataDir: string, record: LocalRecord): void {
  writeFileSync(join(dataDir, 'local', `${record.instance.id}.json`), JSON.stringify(record))
}

/** A program in the place of tinyproxy, which answers `-v` as that does. */
function program(t: Test, script: string): string {
  const path = join(t.testdir({ program: `#!/bin/sh\n[ "$1" = -v ] && exit 0\n${script}\n` }), 'program')
  chmodSync(path, 0o755)
  return path
}

type Maker = { readonly made: Instance[]; readonly crash: () => Promise<void> }

/** Another process that makes upstreams in that folder. */
async function startMaker(
  t: Test,
  {
    dataDir,
    count,
    hostname = 'here',
    tinyproxy = 'auto',
  }: { dataDir: string; count: number; hostname?: string; tinyproxy?: 'auto' | 'never' },
): Promise<Maker> {
  const script = new URL('../fixtures/crashed-local.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, dataDir, hostname, String(count), tinyproxy], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const crash = () => kill(child)
  t.teardown(crash)
  const [line] = await once(child.stdout, 'data')
  const servers = recordsIn(dataDir).map(({ server }) => server)
  t.teardown(() =>
    Promise.all(servers.filter(({ pid }) => pid !== child.pid).map((mark) => endProcess(mark, 0))),
  )
  return { made: JSON.parse(String(line)), crash }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
