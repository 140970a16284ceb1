import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))
const launcher = readFileSync(join(root, 'src/cli/launch.cjs'), 'utf8')

/** Tells which program ran it and with what; `wait` waits for SIGTERM, `die` dies by a signal. */
const main = `
  const [order = '', ...rest] = process.argv.slice(2)
  if (order === 'wait') {
    process.on('SIGTERM', () => process.exit(7))
    setInterval(() => {}, 60_000)
  }
  console.log(JSON.stringify({ node: process.argv0, versions: process.versions.node, args: rest }))
  if (order === 'die') process.kill(process.pid, 'SIGKILL')
  else if (order !== 'wait') process.exitCode = Number(order)
`

t.test('a Node that is new enough runs the program itself', async (t) => {
  const { status, stdout } = launch(t, { args: ['3', 'one', '--two words'] })
  t.equal(status, 3)
  t.match(JSON.parse(stdout), { node: process.execPath, args: ['one', '--two words'] })
})

for (const version of ['20.20.2', '22.18.0', '23.11.1']) {
  t.test(`Node ${version} hands over to the Node that npm installed`, async (t) => {
    const { status, stdout } = launch(t, { pretending: version, args: ['3', 'one', '--two words'] })
    t.equal(status, 3)
    const { node, versions, args } = JSON.parse(stdout)
    t.match(node, /node_modules\/\.bin\/node$/)
    t.equal(versions, process.versions.node)
    t.strictSame(args, ['one', '--two words'])
  })
}

t.test('where there is none, it says what to install', async (t) => {
  const { status, stdout, stderr } = launch(t, { pretending: '20.20.2', bundled: false })
  t.equal(status, 1)
  t.equal(stdout, '')
  t.match(stderr, /needs Node 22\.19 or newer, found v20\.20\.2 .*npm ci/s)
})

t.test('a signal reaches the program, and its exit code comes back', async (t) => {
  const { command, args } = layOut(t, { pretending: '20.20.2', args: ['wait'] })
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
    timeout: 10_000,
    killSignal: 'SIGKILL',
  })
  t.teardown(() => endGroup(child.pid!))
  await once(child.stdout, 'data')
  child.kill('SIGTERM')
  t.strictSame(await once(child, 'exit'), [7, null])
})

t.test('a program that a signal ended is told as a shell tells it', async (t) => {
  t.equal(launch(t, { pretending: '20.20.2', args: ['die'] }).status, 128 + 9)
})

t.test('npx lanekeeper is the launcher', async (t) => {
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.equal(bin.lanekeeper, 'src/cli/launch.cjs')
  // npm links a clone's own programs in its cache, and never again: an old cache tells of an old clone.
  const { status, stdout } = spawnSync('npx', ['--offline', 'lanekeeper', '--help'], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, npm_config_cache: t.testdir() },
  })
  t.equal(status, 0)
  t.match(stdout, /Usage: lanekeeper/)
})

/** The launcher and what it started, even where it did not pass the signal on. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

type Layout = {
  /** The version that the launcher is made to see; its own unless told. */
  readonly pretending?: string
  readonly bundled?: boolean
  readonly args?: readonly string[]
}

function launch(t: Test, layout: Layout) {
  const { command, args } = layOut(t, layout)
  return spawnSync(command, args, { encoding: 'utf8' })
}

function layOut(t: Test, { pretending, bundled = true, args = [] }: Layout) {
  const folder = t.testdir({
    'package.json': '{"type": "module"}',
    src: { cli: { 'launch.cjs': launcher, 'main.ts': main } },
    'older.cjs': `
      Object.defineProperty(process.versions, 'node', { value: '${pretending}' })
      Object.defineProperty(process, 'version', { value: 'v${pretending}' })`,
    node_modules: { '.bin': bundled ? { node: t.fixture('symlink', process.execPath) } : {} },
  })
  const older = pretending === undefined ? [] : ['--require', join(folder, 'older.cjs')]
  return { command: process.execPath, args: [...older, join(folder, 'src/cli/launch.cjs'), ...args] }
}
