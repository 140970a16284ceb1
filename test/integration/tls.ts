// TLS to the proxy as a job and an operator meet it: real clients, the program, a real Tinyproxy; certificates that are
// renewed under open tunnels.

import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { ProxyAgent, fetch } from 'undici'
import { cert as targetAuthority } from '../../src/demo/certificate.ts'
import { makeFolder } from '../fixtures/clients/run.ts'
import { startLanekeeper } from '../fixtures/processes.ts'
import { connectThrough, requestOver, secure } from '../fixtures/raw-client.ts'
import { metric } from '../fixtures/readings.ts'
import { writeSettings } from '../fixtures/settings-file.ts'
import { startTarget } from '../fixtures/target.ts'
import { startTinyproxy } from '../fixtures/tinyproxy.ts'
import { pathOf, pemOf, type Pem, type PemKey } from '../fixtures/tls/files.ts'
import { until } from '../fixtures/until.ts'

const token = 'a-t0ken-of-the-tests'

async function startAll(t: Test, { clientCa = null }: { clientCa?: Pem | null } = {}) {
  const target = await startTarget({ tls: true })
  t.teardown(target.close)
  const tinyproxy = await startTinyproxy()
  t.teardown(tinyproxy.stop)
  const { files, put } = await makeFiles(t)
  const gateway = await startLanekeeper({
    PROVIDER: 'static',
    LANEKEEPER_CONFIG: await writeSettings(t, {
      static: { upstreams: [{ host: tinyproxy.host, port: tinyproxy.port }] },
      gateway: { tls: { ...files, ...(clientCa && { clientCa: pathOf(clientCa) }) } },
    }),
    ALLOW_PRIVATE_TARGETS: 'true',
    TARGET_PORTS: '*',
    GATEWAY_TOKENS: token,
  })
  t.teardown(() => gateway.stop('SIGKILL'))
  const gatewayPort = gateway.gatewayPort!
  return {
    target,
    url: `https://localhost:${target.port}/`,
    authority: `localhost:${target.port}`,
    gateway,
    gatewayPort,
    proxy: (credentials: string) => `https://${credentials}@127.0.0.1:${gatewayPort}`,
    put,
  }
}

/** The files of `gateway.tls`, to be replaced by others. */
async function makeFiles(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-tls-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const files = { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') }
  const put = async (certificate: Pem, key: PemKey) => {
    await copyFile(pathOf(key), files.key)
    await copyFile(pathOf(certificate), files.certificate)
  }
  await put('gateway.pem', 'gateway.key')
  return { files, put }
}

const withCertificate = `--proxy-cert ${pathOf('client.pem')} --proxy-key ${pathOf('client.key')}`

/** @returns null where the machine has none */
async function findCurl(t: Test) {
  const folder = await makeFolder(t)
  const path = await folder.find('curl --version | grep HTTPS-proxy')
  if (path === null) {
    // Not a skip: the line says that nothing was proved here.
    process.stderr.write('NOT RUN: curl with HTTPS-proxy is not on this machine\n')
    return null
  }
  await writeFile(join(folder.path, 'target.pem'), targetAuthority)
  return (proxy: string, url: string, options = '') =>
    folder.sh(
      `curl -sS -x '${proxy}' --proxy-cacert ${pathOf('authority.pem')} --cacert target.pem ${options} ${url}`,
      { PATH: path },
    )
}

t.test('a job comes through, by its token', async (t) => {
  const { gateway, proxy, url, target } = await startAll(t)
  t.match(gateway.output(), /^gateway listening on https:\/\/127\.0\.0\.1:\d+$/m)
  t.match(gateway.output(), /^try: HTTPS_PROXY=https:\/\/job=demo-1:<token>@/m)

  await t.test('curl', async (t) => {
    const curl = await findCurl(t)
    if (!curl) return
    const through = await curl(proxy(`job=1:${token}`), url)
    t.match(through, { code: 0, output: '"method":"GET"' })
    t.match(await curl(proxy(`job=1:${token}`), url, '--proxy-anyauth'), { code: 0 }, 'after a 407 too')
    t.match(await curl(proxy('job=1:wrong'), url), { code: 56, output: 'response 407' })
    const plain = await curl(proxy(`job=1:${token}`).replace('https:', 'http:'), url)
    t.match(plain, { code: 56, output: 'response 400' }, 'a proxy URL with http:// is told so')
  })

  await t.test('undici', async (t) => {
    const agent = new ProxyAgent({
      uri: proxy(`job=2:${token}`),
      proxyTls: { ca: pemOf('authority.pem') },
      requestTls: { ca: targetAuthority },
    })
    t.teardown(() => agent.destroy())
    const answer = await fetch(url, { dispatcher: agent })
    t.equal(answer.status, 200)
    t.match(await answer.json(), { method: 'GET' })
  })

  t.ok(target.requests.length > 0)
  t.notMatch(gateway.output(), token)
})

t.test('with client certificates', async (t) => {
  const { gateway, proxy, url, target } = await startAll(t, { clientCa: 'authority.pem' })
  const uri = proxy(`job=1:${token}`)
  const fetchWith = async (options: object) => {
    const proxyTls = { ca: pemOf('authority.pem'), ...options }
    const agent = new ProxyAgent({ uri, proxyTls, requestTls: { ca: targetAuthority } })
    t.teardown(() => agent.destroy())
    return (await fetch(url, { dispatcher: agent })).status
  }

  t.equal(await fetchWith({ cert: pemOf('client.pem'), key: pemOf('client.key') }), 200)
  t.equal(target.requests.length, 1)
  await t.rejects(fetchWith({}), 'nobody comes in without one')
  await t.rejects(fetchWith({ cert: pemOf('stranger.pem'), key: pemOf('stranger.key') }), 'nor with any')

  await t.test('curl', async (t) => {
    const curl = await findCurl(t)
    if (!curl) return
    t.match(await curl(uri, url, withCertificate), { code: 0, output: '"method":"GET"' })
    t.not((await curl(uri, url)).code, 0)
  })
  t.ok(target.requests.length <= 2)
  t.ok((await metric(gateway, 'lanekeeper_connections_refused_total')) >= 2, 'counted')
  t.notMatch(gateway.output(), /handshake/, 'and not in the log')
})

t.test('a certificate is renewed under an open tunnel', async (t) => {
  const { gateway, gatewayPort, authority, put } = await startAll(t)
  const gatewayTls = { ca: pemOf('authority.pem') }
  const { status, socket } = await connectThrough({
    gatewayPort,
    gatewayTls,
    target: authority,
    userinfo: `job=1:${token}`,
  })
  t.equal(status, 200)
  const inner = await secure(socket)
  t.teardown(() => inner.destroy())
  const shown = () =>
    new Promise<string>((resolve, reject) => {
      const client = connectTls({ port: gatewayPort, host: '127.0.0.1', ...gatewayTls }, () => {
        resolve(String(client.getPeerCertificate().subject.CN))
        client.destroy()
      })
      client.on('error', reject)
    })
  const linesOf = (message: string) =>
    gateway
      .output()
      .split('\n')
      .filter((line) => line.includes(message))
  t.equal(await shown(), 'gateway')

  await put('renewed.pem', 'renewed.key')
  await until('a new connection is shown the new one', async () => (await shown()) === 'renewed', {
    everyMs: 50,
  })
  t.match(JSON.parse(linesOf('new connections get this certificate').at(-1)!), {
    level: 30,
    subject: 'CN=renewed',
    validTo: '2120-01-01T00:00:00.000Z',
  })
  t.equal((await requestOver(inner, { path: '/bytes?n=100000' })).body.length, 100_000, 'the tunnel lives on')

  await put('gateway.pem', 'renewed.key')
  await until('the fault is told', () => linesOf('is not the key of the certificate').length > 0)
  t.match(JSON.parse(linesOf('is not the key of the certificate')[0]!), {
    level: 50,
    detail: /^gateway\.tls\.key: /,
  })
  t.equal(await shown(), 'renewed', 'and the old pair stays')
  t.equal((await requestOver(inner)).status, 200)

  await put('expired.pem', 'gateway.key')
  await until('that it has ended is told', () => linesOf('ends soon, or has ended').length > 0)
  t.notMatch(gateway.output(), /PRIVATE KEY|MIGH/)
})

t.test('a pair that does not fit keeps the program from starting, and is named', async (t) => {
  const { files, put } = await makeFiles(t)
  await put('gateway.pem', 'renewed.key')
  const LANEKEEPER_CONFIG = await writeSettings(t, { gateway: { tls: files } })
  await t.rejects(
    startLanekeeper({ PROVIDER: 'static', STATIC_UPSTREAMS: '127.0.0.1:1', LANEKEEPER_CONFIG }),
    {
      message:
        /^Lanekeeper failed: gateway\.tls\.key: .*tls\.key is not the key of the certificate in .*tls\.crt$/m,
    },
  )
})
