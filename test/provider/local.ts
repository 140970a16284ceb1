import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makeLocalProvider, type LocalProviderSettings } from '../../src/provider/local.ts'
import { endProcess, isRunning, markProcess } from '../../src/provider/local-process.ts'
import type { LocalRecord } from '../../src/provider/local-records.ts'
import type { Instance, Provider } from '../../src/provider/provider.ts'
import { accepts } from '../fixtures/accepts.ts'
import {
  carries,
  createMany,
  idsOf,
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
    t.strictSame(await after.list(), [made])
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
    t.strictSame(await after.list(), [])
  })

  t.test(`${name}: nor where it was to have an egress IP of another kind`, async (t) => {
    const dataDir = t.testdir()
    const [made] = await createMany(makeProvider(t, { dataDir, tinyproxy }), 1)
    const sourced = makeProvider(t, { tinyproxy, sourceAddresses: true })
    await rejectsWith(t, sourced.resume!(made!), 'unavailable', /local\.sourceAddresses has changed/)
  })

  t.test(`${name}: close ends one that is still being made`, async (t) => {
    const dataDir = t.testdir()
    const provider = makeProvider(t, { dataDir, tinyproxy })
    await provider.create({ name: 'lane-1', labels: {} })
    const creating = provider.create({ name: 'lane-2', labels: {} })
    const refused = rejectsWith(t, creating, 'unavailable', /closed/)
    await provider.close()
    await refused
    t.strictSame(readdirSync(join(dataDir, 'local')), [])
    await rejectsWith(t, provider.create({ name: 'lane-3', labels: {} }), 'unavailable', /closed/)
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
  await rejectsWith(
    t,
    provider.create({ name: 'lane-1', labels: {} }),
    'unavailable',
    /exit code 70.*: no such interface$/,
  )
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
  await provider.delete(made!.id)
  t.notOk(isRunning(record!.server))
})

t.test('an upstream that died is not listed any more', async (t) => {
  const dataDir = t.testdir()
  const provider = makeProvider(t, { dataDir, tinyproxy: 'auto' })
  const [first, second] = await createMany(provider, 2)
  const record = recordsIn(dataDir).find(({ instance }) => instance.id === first?.id)
  process.kill(record!.server.pid, 'SIGKILL')
  await until('it is gone', () => !isRunning(record!.server))
  t.strictSame(await provider.list(), [second])
  await t.resolves(provider.delete(first!.id))
})

t.test('what a crash left running is listed and can be deleted', async (t) => {
  const dataDir = t.testdir()
  const { made, crash } = await startMaker(t, { dataDir, count: 2 })
  await crash()
  const servers = recordsIn(dataDir).map(({ server }) => server)
  t.equal(servers.filter(isRunning).length, 2)

  const provider = makeProvider(t, { dataDir })
  t.strictSame(idsOf(await provider.list()), idsOf(made))
  for (const { id } of made) await provider.delete(id)
  t.strictSame(servers.filter(isRunning), [])
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('built-in proxies end with their process, so a crash leaves none of them', async (t) => {
  const dataDir = t.testdir()
  const { crash } = await startMaker(t, { dataDir, count: 2, tinyproxy: 'never' })
  await crash()
  t.strictSame(await makeProvider(t, { dataDir }).list(), [])
  t.strictSame(readdirSync(join(dataDir, 'local')), [])
})

t.test('upstreams of another process that runs are neither listed nor deleted', async (t) => {
  const dataDir = t.testdir()
  const { made } = await startMaker(t, { dataDir, count: 1 })
  const provider = makeProvider(t, { dataDir })
  t.strictSame(await provider.list(), [])
  await rejectsWith(t, provider.delete(made[0]!.id), 'unavailable', /belongs to process \d+/)
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
  await provider.delete(made[0]!.id)
  t.ok(markProcess(stranger.pid!))
  t.strictSame(await provider.list(), [])
})

t.test('records of another host are left alone', async (t) => {
  const dataDir = t.testdir()
  const { made, crash } = await startMaker(t, { dataDir, count: 1, hostname: 'elsewhere' })
  const provider = makeProvider(t, { dataDir })
  await crash()
  t.strictSame(await provider.list(), [])
  await provider.delete(made[0]!.id)
  t.ok(existsSync(join(dataDir, 'local', `${made[0]!.id}.json`)))
  const elsewhere = makeProvider(t, { dataDir, hostname: 'elsewhere' })
  await elsewhere.delete(made[0]!.id)
})

t.test('a file that is no record of ours is left alone', async (t) => {
  const dataDir = t.testdir({ local: { 'half.json': '{"format": 1, "inst', 'later.json': '{"format": 2}' } })
  t.strictSame(await makeProvider(t, { dataDir }).list(), [])
  t.strictSame(readdirSync(join(dataDir, 'local')), ['half.json', 'later.json'])
})

t.test('a folder that cannot be written to is told', async (t) => {
  const dataDir = join(t.testdir({ file: '' }), 'file')
  const provider = makeProvider(t, { dataDir })
  await rejectsWith(
    t,
    provider.create({ name: 'lane-1', labels: {} }),
    'unavailable',
    /refused: ENOTDIR.*file/,
  )
})

t.test('a name that cannot become an id is refused', async (t) => {
  for (const name of ['', '../up', 'a b', '-a', 'a'.repeat(101)]) {
    const creating = makeProvider(t, {}).create({ name, labels: {} })
    await rejectsWith(t, creating, 'unavailable', /is no name for an upstream/)
  }
})

function makeProvider(t: Test, settings: Partial<LocalProviderSettings>): Provider {
  const provider = makeLocalProvider({
    dataDir: settings.dataDir ?? t.testdir(),
    sourceAddresses: false,
    tinyproxy: 'auto',
    maxClients: 10,
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
