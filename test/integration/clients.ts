// Programs that people use, as they are: what they send is what the gateway must understand. A program that
// this machine lacks is named and left out; the rows of docs are the ones that ran.

import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import t, { type Test } from 'tap'
import { startBehindTinyproxy } from '../fixtures/behind-tinyproxy.ts'
import { metric } from '../fixtures/readings.ts'
import { startTarget, type HttpTarget } from '../fixtures/target.ts'

const address = '127.0.1.9'

type Road = {
  readonly target: HttpTarget
  readonly plain: HttpTarget
  readonly gatewayPort: number
  readonly refusals: () => Promise<number>
}

async function startAll(t: Test): Promise<Road> {
  const target = await startTarget({ tls: true })
  t.teardown(target.close)
  const plain = await startTarget()
  t.teardown(plain.close)
  const { gateway, gatewayPort } = await startBehindTinyproxy(t, { bind: address })
  return { target, plain, gatewayPort, refusals: () => metric(gateway, 'lanekeeper_requests_refused_total') }
}

function has(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined
}

/** Not a skip: the line says that nothing was proved here. */
function missing(t: Test, program: string): void {
  process.stderr.write(`NOT RUN: ${program} is not on this machine\n`)
  t.end()
}

type Ran = { readonly stdout: string; readonly stderr: string; readonly code: number }

/** Not spawnSync: the target lives in this process. */
function run(
  program: string,
  args: readonly string[],
  env: { readonly [name: string]: string } = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env }, timeout: 20_000 }
    execFile(program, [...args], options, (error, stdout, stderr) => {
      resolve({ stdout, stderr, code: error ? Number(error.code ?? -1) : 0 })
    })
  })
}

t.test('curl', async (t) => {
  if (!has('curl')) return missing(t, 'curl')
  const { target, plain, gatewayPort } = await startAll(t)
  const rows: [name: string, args: string[], env: { [name: string]: string }][] = [
    ['a job in the URL', [], { HTTPS_PROXY: `http://job-1:x@127.0.0.1:${gatewayPort}` }],
    [
      'all keys in the URL',
      [],
      { HTTPS_PROXY: `http://job=job-2,type=payment,institution=bank-a:x@127.0.0.1:${gatewayPort}` },
    ],
    [
      'a header for the proxy',
      ['--proxy-header', 'X-Job-Id: job-3'],
      { HTTPS_PROXY: `http://127.0.0.1:${gatewayPort}` },
    ],
    [
      'credentials only after a challenge',
      ['--proxy-anyauth'],
      { HTTPS_PROXY: `http://job-4:x@127.0.0.1:${gatewayPort}` },
    ],
  ]
  for (const [name, args, env] of rows) {
    const { stdout, stderr } = await run('curl', ['-sSk', ...args, `${target.origin}/`], env)
    t.match(stdout, `"address":"${address}"`, `${name} ${stderr}`)
  }
  const viaPlain = await run('curl', ['-sS', `${plain.origin}/`], {
    http_proxy: `http://job-5:x@127.0.0.1:${gatewayPort}`,
  })
  t.match(viaPlain.stdout, `"address":"${address}"`, `plain HTTP ${viaPlain.stderr}`)
})

t.test('Python urllib: HTTP/1.0 without Host', async (t) => {
  if (!has('python3')) return missing(t, 'python3')
  const { target, gatewayPort } = await startAll(t)
  const script = `import ssl, urllib.request; print(urllib.request.urlopen("${target.origin}/", context=ssl._create_unverified_context()).read().decode())`
  const { stdout, stderr } = await run('python3', ['-c', script], {
    https_proxy: `http://job=py-1,type=statement:x@127.0.0.1:${gatewayPort}`,
  })
  t.match(stdout, `"address":"${address}"`, stderr)
})

t.test('git sends credentials only after its 407, and comes back with them', async (t) => {
  if (!has('git')) return missing(t, 'git')
  const { target, gatewayPort, refusals } = await startAll(t)
  const env = {
    https_proxy: `http://git-1:x@127.0.0.1:${gatewayPort}`,
    GIT_SSL_NO_VERIFY: '1',
    GIT_TERMINAL_PROMPT: '0',
  }
  const { stderr } = await run('git', ['ls-remote', `${target.origin}/repo.git`], env)
  // The target is no git server; that it was asked, through the upstream, is what we want to see.
  t.match(target.requests[0], { address, url: '/repo.git/info/refs?service=git-upload-pack' }, stderr)
  t.equal(await refusals(), 1, 'after one challenge')
})

t.test('Chromium sends credentials only after its 407, and comes back with them', async (t) => {
  if (!has('chromium')) return missing(t, 'chromium')
  const { target, gatewayPort, refusals } = await startAll(t)
  const profile = await mkdtemp(join(tmpdir(), 'lanekeeper-chromium-'))
  t.teardown(() => rm(profile, { recursive: true, force: true }))
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--proxy-bypass-list=<-loopback>',
    ],
    proxy: { server: `http://127.0.0.1:${gatewayPort}`, username: 'job=web-1', password: 'x' },
  })
  t.teardown(() => browser.close())
  const page = await browser.newPage({ ignoreHTTPSErrors: true })
  await page.goto(`${target.origin}/page`)
  t.match(await page.textContent('body'), `"address":"${address}"`)
  t.ok((await refusals()) >= 1, 'after a challenge')
})
