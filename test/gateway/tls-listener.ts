import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { GatewaySettings } from '../../src/gateway/settings.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { readAnswer, readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import {
  basic,
  connectThrough,
  getThrough,
  openSocket,
  requestOver,
  secure,
  sendRaw,
} from '../fixtures/raw-client.ts'
import {
  established,
  establishing,
  startScriptedUpstream,
  tunnelling,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { startTarget } from '../fixtures/target.ts'
import { pathOf, pemOf } from '../fixtures/tls/files.ts'
import { until } from '../fixtures/until.ts'

const target = '127.0.0.1:443'
const trusting = { ca: pemOf('authority.pem') }
const files = { certificate: pathOf('gateway.pem'), key: pathOf('gateway.key'), clientCa: null }
/** A record of application data that is sealed with no key. */
const unreadable = Buffer.from('17030300100102030405060708090a0b0c0d0e0f10', 'hex')
const withClients = { ...files, clientCa: pathOf('authority.pem') }
const certificateOf = (name: 'client' | 'stranger') => ({
  ...trusting,
  cert: pemOf(`${name}.pem`),
  key: pemOf(`${name}.key`),
})

async function setUp(t: Test, settings: Partial<GatewaySettings> = {}, script: Script = establishing()) {
  const upstream = await startScriptedUpstream(script)
  t.teardown(upstream.stop)
  const { gatewayPort, gateway, facts, stop } = await startGateway({
    upstreams: [upstream],
    settings: { tls: files, ...settings },
  })
  t.teardown(() => stop())
  const overTls = { gatewayPort, gatewayTls: trusting as ConnectionOptions }
  const asJob = { ...overTls, target, userinfo: 'job=1:x' }

  /** TLS on a TCP connection that can be seen and reset. */
  async function openBoth(
    options: ConnectionOptions = trusting,
  ): Promise<{ socket: TLSSocket; tcp: Socket }> {
    const tcp = await openSocket({ gatewayPort })
    const socket = connectTls({ socket: tcp, ...options })
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    return { socket, tcp }
  }
  const allGone = () => until('no connection is left', () => gateway.connections === 0)
  return { upstream, gatewayPort, gateway, facts, stop, overTls, asJob, openBoth, allGone }
}

/** A socket that is not read from never hears of a reset. */
async function resetOf(socket: Socket): Promise<string | undefined> {
  socket.resume()
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  return error.code
}

t.test('a tunnel', async (t) => {
  t.test('carries bytes, early ones first, and counts those of the job', async (t) => {
    const { asJob, facts, allGone } = await setUp(t)
    const { status, socket } = await connectThrough({ ...asJob, early: 'early, ' })
    t.equal(status, 200)
    socket.write('late')
    t.equal((await readBytes(socket, 11)).toString(), 'early, late')
    socket.end()
    t.equal((await readToEnd(socket)).length, 0)
    await allGone()
    t.match(facts.of('tunnel_closed'), [{ bytesUp: 11, bytesDown: 11, endedBy: 'client' }])
  })

  t.test('carries TLS to the target', async (t) => {
    const secret = await startTarget({ tls: true })
    t.teardown(secret.close)
    const { asJob } = await setUp(t, {}, tunnelling())
    const { socket } = await connectThrough({ ...asJob, target: `127.0.0.1:${secret.port}` })
    t.teardown(() => socket.destroy())
    const inner = await secure(socket)
    const answer = await requestOver(inner, { path: '/bytes?n=300000' })
    t.equal(answer.body.length, 300_000)
    t.strictSame(
      secret.requests.map(({ url }) => url),
      ['/bytes?n=300000'],
    )
  })

  t.test('of a client that resets is reset at the upstream', async (t) => {
    let atUpstream: Socket | null = null
    const { openBoth, facts, allGone } = await setUp(t, {}, ({ socket }) => {
      atUpstream = socket.resume()
      socket.write(established)
    })
    const { socket, tcp } = await openBoth()
    socket.write(`CONNECT ${target} HTTP/1.1\r\nX-Job-Id: 1\r\n\r\n`)
    t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
    const reset = resetOf(atUpstream!)
    tcp.resetAndDestroy()
    t.equal(await reset, 'ECONNRESET')
    await allGone()
    t.match(facts.of('tunnel_closed'), [{ endedBy: 'client_reset' }])
  })

  t.test('that its upstream resets is reset at the client', async (t) => {
    const { asJob, facts, allGone } = await setUp(t, {}, ({ socket }) => {
      socket.write(established)
      socket.on('data', () => socket.resetAndDestroy()).resume()
    })
    const { socket } = await connectThrough(asJob)
    socket.write('x')
    t.equal(await resetOf(socket), 'ECONNRESET')
    await allGone()
    t.match(facts.of('tunnel_closed'), [{ endedBy: 'upstream_reset' }])
  })

  t.test('with a record in it that cannot be read is reset at the upstream', async (t) => {
    let atUpstream: Socket | null = null
    const { openBoth, allGone } = await setUp(t, {}, ({ socket }) => {
      atUpstream = socket.resume()
      socket.write(established)
    })
    const { socket, tcp } = await openBoth()
    socket.write(`CONNECT ${target} HTTP/1.1\r\nX-Job-Id: 1\r\n\r\n`)
    t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
    const reset = resetOf(atUpstream!)
    tcp.write(unreadable)
    t.equal(await reset, 'ECONNRESET')
    await allGone()
  })

  t.test('that is still to be opened is given up after such a record', async (t) => {
    const silentUntilLeft: Script = ({ socket }) => void socket.once('end', () => socket.end()).resume()
    const { openBoth, upstream, allGone } = await setUp(t, { replyTimeoutMs: 60_000 }, silentUntilLeft)
    const { socket, tcp } = await openBoth()
    socket.write(`CONNECT ${target} HTTP/1.1\r\nX-Job-Id: 1\r\n\r\n`)
    await until('it is dialled', () => upstream.heads.length === 1)
    tcp.write(unreadable)
    await allGone()
    await until('the upstream is left', () => upstream.connections().open === 0)
  })

  t.test('that is idle ends in good order', async (t) => {
    const { asJob, facts, allGone } = await setUp(t, { tunnelIdleMs: 200 })
    const { socket } = await connectThrough(asJob)
    t.equal((await readToEnd(socket)).length, 0)
    await allGone()
    t.match(facts.of('tunnel_closed'), [{ endedBy: 'idle' }])
  })

  t.test('is reset when the gateway stops', async (t) => {
    const { asJob, facts, stop, gateway } = await setUp(t)
    const { socket } = await connectThrough(asJob)
    const reset = resetOf(socket)
    await stop()
    t.equal(await reset, 'ECONNRESET')
    t.match(facts.of('tunnel_closed'), [{ endedBy: 'stop' }])
    t.equal(gateway.tunnels.count, 0)
  })
})

t.test('HTTP', async (t) => {
  t.test('many requests on one connection', async (t) => {
    const plain = await startTarget()
    t.teardown(plain.close)
    const { overTls, facts } = await setUp(t, {}, tunnelling())
    const ask = { ...overTls, userinfo: 'job=1:x', url: `${plain.origin}/bytes?n=100000` }
    const first = await getThrough(ask)
    const second = await getThrough({ ...ask, socket: first.socket })
    t.teardown(() => first.socket.destroy())
    t.match([first, second], [{ status: 200 }, { status: 200 }])
    t.equal(second.body.length, 100_000)
    t.match(facts.of('tunnel_opened'), [{ road: 'http' }, { road: 'http' }])
  })

  t.test('an upgrade is a tunnel', async (t) => {
    const plain = await startTarget()
    t.teardown(plain.close)
    const { overTls } = await setUp(t, {}, tunnelling())
    const { status, socket } = await getThrough({
      ...overTls,
      url: `${plain.origin}/`,
      headers: { 'X-Job-Id': '1', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'x' },
    })
    t.teardown(() => socket.destroy())
    t.equal(status, 101)
    socket.write('frames')
    t.equal((await readBytes(socket, 6)).toString(), 'frames')
  })

  t.test('who is challenged comes back on the same connection', async (t) => {
    const { overTls, asJob } = await setUp(t)
    const { socket, ...challenge } = await connectThrough({ ...overTls, target })
    t.teardown(() => socket.destroy())
    t.match(challenge, { status: 407, headers: { connection: 'keep-alive' } })
    socket.write(`CONNECT ${target} HTTP/1.1\r\nProxy-Authorization: ${basic(asJob.userinfo)}\r\n\r\n`)
    t.equal((await readAnswer(socket, 'CONNECT')).status, 200)
    socket.write('echo')
    t.equal((await readBytes(socket, 4)).toString(), 'echo')
  })

  t.test('a refusal is whole, and then the connection ends in good order', async (t) => {
    const { asJob, allGone } = await setUp(t)
    const { status, socket, body } = await connectThrough({ ...asJob, target: 'host:0', early: 'x' })
    t.equal(status, 400)
    t.match(JSON.parse(body.toString()), { code: 'bad_request' })
    t.equal((await readToEnd(socket)).length, 0)
    // It does not end its side, and is cut off.
    await allGone()
  })

  t.test('a head that is too slow is answered', async (t) => {
    const { overTls } = await setUp(t, { headTimeoutMs: 200 })
    t.match(await sendRaw(overTls, 'GET / HT'), { status: 408 })
  })

  t.test('only HTTP/1.1 is offered', async (t) => {
    const { openBoth } = await setUp(t)
    const { socket } = await openBoth({ ...trusting, ALPNProtocols: ['h2', 'http/1.1'] })
    t.equal(socket.alpnProtocol, 'http/1.1')
    socket.destroy()
  })
})

t.test('what is no TLS', async (t) => {
  for (const head of [
    `CONNECT ${target} HTTP/1.1\r\nX-Job-Id: 1\r\n\r\n`,
    'GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n',
    'DELETE /v1/job HTTP/1.1\r\n\r\n',
  ])
    t.test(`${head.split(' ')[0]} in plain is told so`, async (t) => {
      const { gatewayPort, facts, allGone } = await setUp(t)
      const { status, headers, body, socket } = await sendRaw({ gatewayPort }, head)
      t.equal(status, 400)
      t.match(headers, { connection: 'close', 'proxy-status': /error=http_request_error/ })
      t.match(JSON.parse(body.toString()), { code: 'bad_request', detail: /https:\/\// })
      t.equal((await readToEnd(socket)).length, 0)
      socket.destroy()
      await allGone()
      t.match(facts.of('connection_refused'), [{ reason: 'handshake', source: '127.0.0.1' }])
    })

  for (const [name, bytes] of [
    ['noise', Buffer.alloc(64, 0xa7)],
    ['SOCKS', Buffer.from('050100', 'hex')],
    ['an SSH banner', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a record with nonsense', Buffer.from('16030100050102030405', 'hex')],
  ] as const)
    t.test(`${name} is closed within a second`, async (t) => {
      const { gatewayPort, facts, allGone } = await setUp(t)
      const socket = await openSocket({ gatewayPort })
      const began = performance.now()
      socket.write(bytes)
      socket.resume().on('end', () => socket.end())
      await allGone()
      t.ok(performance.now() - began < 2000, 'well before the time of a head')
      t.match(facts.of('connection_refused'), [{ reason: 'handshake' }])
    })

  t.test('a handshake has as long as a head, though a byte comes now and then', async (t) => {
    const { gatewayPort, gateway, facts, allGone } = await setUp(t, { headTimeoutMs: 300 })
    const socket = await openSocket({ gatewayPort })
    t.teardown(() => socket.destroy())
    // The head of a client's hello, and less than it promises.
    socket.write(Buffer.from('1603010100010000fc0303', 'hex'))
    const drip = setInterval(() => socket.write('x'), 50)
    t.teardown(() => clearInterval(drip))
    await until('it is there', () => gateway.connections === 1)
    await allGone()
    t.match(facts.of('connection_refused'), [{ reason: 'handshake' }])
  })

  t.test('a version that is too old is refused', async (t) => {
    const { openBoth, facts } = await setUp(t)
    const old = {
      ...trusting,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    } as const
    await t.rejects(openBoth(old))
    await until('it is told', () => facts.of('connection_refused').length === 1)
  })
})

t.test('client certificates', async (t) => {
  t.test('one of our authorities lets in', async (t) => {
    const { gatewayPort, asJob } = await setUp(t, { tls: withClients })
    const { status, socket } = await connectThrough({
      ...asJob,
      gatewayPort,
      gatewayTls: certificateOf('client'),
    })
    socket.destroy()
    t.equal(status, 200)
  })

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const)
    for (const [name, options] of [
      ['no certificate', trusting],
      ["a stranger's", certificateOf('stranger')],
      ['one for servers', { ...trusting, cert: pemOf('gateway.pem'), key: pemOf('gateway.key') }],
    ] as const)
      t.test(`${name} does not (${maxVersion})`, async (t) => {
        const { asJob, upstream, facts, allGone } = await setUp(t, { tls: withClients })
        await t.rejects(connectThrough({ ...asJob, gatewayTls: { ...options, maxVersion } }))
        await allGone()
        t.match(facts.of('connection_refused'), [{ reason: 'handshake' }])
        t.equal(upstream.connections().accepted, 0)
      })

  t.test('the token is asked for all the same', async (t) => {
    const tokens = [{ name: 'payments', token: 'a-long-enough-token' }]
    const { asJob } = await setUp(t, { tls: withClients, tokens })
    const { status, socket } = await connectThrough({ ...asJob, gatewayTls: certificateOf('client') })
    socket.destroy()
    t.equal(status, 407)
  })
})

t.test('connections', async (t) => {
  t.test('that only look in leave nothing, and are no failures', async (t) => {
    const { gatewayPort, gateway, facts, allGone, asJob } = await setUp(t)
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const socket = await openSocket({ gatewayPort })
        if (index % 2) socket.resetAndDestroy()
        else socket.destroy()
      }),
    )
    const { status, socket } = await connectThrough(asJob)
    t.equal(status, 200)
    t.equal(gateway.connections, 1)
    socket.destroy()
    await allGone()
    t.strictSame(facts.of('connection_refused'), [])
  })

  t.test('one too many of a source is closed at once, in its handshake or after', async (t) => {
    const { gatewayPort, gateway, overTls, facts } = await setUp(t, { connectionsPerSource: 2 })
    const first = await openSocket(overTls)
    const second = await openSocket({ gatewayPort })
    t.teardown(() => [first, second].forEach((socket) => socket.destroy()))
    await until('both are there', () => gateway.connections === 2)
    await t.rejects(openSocket(overTls))
    t.match(facts.of('connection_refused'), [{ reason: 'source' }])
    first.destroy()
    await until('it is gone', () => gateway.connections === 1)
    const third = await openSocket(overTls)
    third.destroy()
  })

  t.test('that are idle are closed when the gateway stops, and it waits for what is under way', async (t) => {
    const { asJob, overTls, stop } = await setUp(t)
    const { socket: idle } = await getThrough({ ...overTls, url: '/v1/job' })
    const { socket: busy } = await connectThrough(asJob)
    const stopped = stop(AbortSignal.timeout(20_000))
    t.equal((await readToEnd(idle)).length, 0)
    busy.write('still')
    t.equal((await readBytes(busy, 5)).toString(), 'still')
    busy.end()
    await stopped
    await t.rejects(openSocket(overTls))
  })
})

t.test('a certificate that cannot be used keeps the gateway from starting', async (t) => {
  const tls = { ...files, key: pathOf('renewed.key') }
  await t.rejects(startGateway({ settings: { tls } }), { message: /^gateway\.tls\.key: .* is not the key/ })
})
