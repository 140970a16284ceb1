// `npm run demo -- --fleet` as a person runs it: a whole life on a Compute Engine, what it says, and that nothing stays.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { until } from '../fixtures/until.ts'

const folderOfDemo = fileURLToPath(new URL('../../src/demo', import.meta.url))
const main = join(folderOfDemo, 'main.ts')

// A busy machine takes its time for the embedded database.
t.setTimeout(180_000)

/** A demo that is told to end and does not is ended. */
const removedWithinMs = 15_000

async function temporary(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-demo-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Whatever it makes, files and processes, has its folder in the name. */
async function startDemo(t: Test) {
  const folder = await temporary(t)
  const child = spawn(process.execPath, [main, '--fleet'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    const tooLong = setTimeout(() => child.kill('SIGKILL'), removedWithinMs)
    await closed
    clearTimeout(tooLong)
  })
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const ended = closed.then(([code]) => code as number | null)
  return { child, folder, output: () => output, ended }
}

function nothingIsLeft(t: Test, folder: string): void {
  const files = readdirSync(folder).filter((name) => name.startsWith('lanekeeper'))
  t.strictSame(files, [], 'no file is left')
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const commands = pids.map(commandLine).filter((command) => command.includes(folder))
  t.strictSame(commands, [], 'no process is left')
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    // It has ended since.
    return ''
  }
}

t.test('it shows the whole life of a fleet, and all that it checks holds', async (t) => {
  const demo = await startDemo(t)
  const code = await demo.ended
  const said = demo.output()
  t.equal(code, 0, said)
  t.equal(said.match(/^ok /gm)?.length, 6, 'six checks')
  t.notMatch(said, /^FAIL/m)
  const ran = said.match(/lane-demo-[0-9a-z]{8} {2}running: targets see 127\.0\.\d+\.\d+$/gm)
  t.equal(new Set(ran).size, 5, 'four came, and one in place of the one that was killed')
  const story = [
    /(lane-demo-\w+) {2}drained: its \d+ jobs are over; no request has failed\n[^]*\1 {2}deleted\n/,
    /3 are wanted from now on/,
    /(lane-demo-\w+) {2}is no more; [1-9]\d* jobs? pinned to it\n[^]*sync takes it out: its machine is gone/,
    /report: done; 2 machines listed, 3 upstreams recorded, 1 corrected, 0 left alone/,
    /v\d+ {2}control {5}lane-demo-\w+ gone \(sync: its machine is gone\)/,
    /v\d+ {2}admin:demo {2}lane-demo-\w+ to be deleted; wanted 4 -> 3/,
  ]
  for (const part of story) t.match(said, part)
  const tooLong = said.split('\n').filter((line) => line.length > 100)
  t.strictSame(tooLong, [], 'it fits into a terminal of 100 columns')
  nothingIsLeft(t, demo.folder)
})

t.test('Ctrl-C ends it at any time, and nothing is left', async (t) => {
  const demo = await startDemo(t)
  const jobsRun = () => /^2\. Jobs/m.test(demo.output()) || demo.child.exitCode !== null
  await until('jobs run', jobsRun, { withinMs: 90_000 })
  demo.child.kill('SIGINT')
  demo.child.kill('SIGINT')
  t.equal(await demo.ended, 130, demo.output())
  nothingIsLeft(t, demo.folder)
})

t.test('where it cannot be shown it says what is missing', async (t) => {
  const bare = await temporary(t)
  mkdirSync(join(bare, 'bin'))
  symlinkSync(process.execPath, join(bare, 'bin/node'))
  const image = await temporary(t)
  cpSync(folderOfDemo, join(image, 'src/demo'), { recursive: true })
  writeFileSync(join(image, 'package.json'), '{"type": "module"}')
  const cases = [
    { name: 'no tinyproxy', main, PATH: join(bare, 'bin'), says: /apt-get install tinyproxy-bin/ },
    { name: 'no tests', main: join(image, 'src/demo/main.ts'), says: /--fleet needs a checkout/ },
  ]
  for (const { name, main, PATH = process.env.PATH, says } of cases) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [main, '--fleet'], {
      encoding: 'utf8',
      env: { ...process.env, PATH },
    })
    t.equal(status, 1, name)
    t.match(stderr, says, name)
    t.equal(stdout, '', `${name}: nothing was begun`)
  }
})

t.test('its help tells of both kinds, and they do not mix', async (t) => {
  const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
  const help = run('--help')
  t.equal(help.status, 0)
  for (const option of ['--fleet', '--redis']) t.match(help.stdout, option)
  const both = run('--fleet', '--redis', 'redis://127.0.0.1:6379')
  t.equal(both.status, 1)
  t.match(both.stderr, /--fleet.*takes no --redis/)
})
