import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { dial, type DialLimits } from '../../src/gateway/dial.ts'
import type { Target } from '../../src/types.ts'
import { startFullListener } from '../fixtures/full-listener.ts'
import { closedPort } from '../fixtures/listen.ts'
import { readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import {
  closing,
  established,
  establishing,
  refuse,
  resetting,
  saying,
  sayingSlowly,
  startReadingUpstream,
  stayingSilent,
  type Script,
} from '../fixtures/scripted-upstream.ts'
import { stall } from '../fixtures/stall.ts'
import { makeUpstream } from '../fixtures/upstream.ts'
import { until } from '../fixtures/until.ts'

const target: Target = { host: '192.0.2.1', port: 443 }
const limits: DialLimits = {
  connectTimeoutMs: 5000,
  replyTimeoutMs: 5000,
  credentials: null,
  signal: new AbortController().signal,
}

async function setUp(t: Test, script: Script, onAccept?: (socket: Socket) => void) {
  const scripted = await startReadingUpstream(script, onAccept ? { onAccept } : {})
  t.teardown(scripted.stop)
  const upstream = makeUpstream({ id: 'up-1', port: scripted.port })
  return {
    scripted,
    open: async (changed: Partial<DialLimits> & { target?: Target } = {}) => {
      const socket = await dial(upstream, changed.target ?? target, { ...limits, ...changed })
      t.teardown(() => socket.destroy())
      return socket
    },
    allClosed: () => until('no connection to the upstream is left', () => scripted.connections().open === 0),
  }
}

t.test('a tunnel that stands', async (t) => {
  t.test('is a paused socket that carries bytes both ways', async (t) => {
    const { open } = await setUp(t, establishing())
    const socket = await open()
    t.ok(socket.isPaused())
    t.equal(socket.listenerCount('data'), 0)
    t.ok(socket.listenerCount('error') > 0, 'a reset before anybody listens must not end the process')
    socket.write('hello')
    t.equal((await readBytes(socket, 5)).toString(), 'hello')
  })

  t.test('keeps what came glued to the reply, and what came later behind it', async (t) => {
    const { open } = await setUp(t, establishing({ glued: 'banner ' }))
    const socket = await open()
    socket.write('echo')
    t.equal((await readBytes(socket, 11)).toString(), 'banner echo')
  })

  t.test('keeps bytes whose end has come too', async (t) => {
    const { open } = await setUp(t, ({ socket }) => void socket.end(`${established}all of it`))
    t.equal((await readToEnd(await open())).toString(), 'all of it')
  })

  t.test('stays open when the upstream has ended its half', async (t) => {
    const { open, scripted } = await setUp(t, ({ socket }) => void socket.resume().end(established))
    const socket = await open()
    await readToEnd(socket)
    t.ok(socket.writable)
    const before = scripted.bytesRead()
    socket.write('late')
    await until('it arrived', () => scripted.bytesRead() === before + 4)
  })

  const replies = [
    { name: 'HTTP/1.1', reply: 'HTTP/1.1 200 OK\r\n\r\n' },
    { name: 'another 2xx', reply: 'HTTP/1.1 204 No Content\r\n\r\n' },
    { name: 'headers, also of a body', reply: 'HTTP/1.1 200 OK\r\nVia: x\r\nContent-Length: 5\r\n\r\n' },
  ]
  for (const { name, reply } of replies) {
    t.test(`whatever the 2xx looks like: ${name}`, async (t) => {
      const { open } = await setUp(t, saying(`${reply}bytes`))
      t.equal((await readBytes(await open(), 5)).toString(), 'bytes')
    })
  }

  t.test('also when the reply comes byte by byte', async (t) => {
    const { open } = await setUp(t, sayingSlowly(`${established}x`))
    t.equal((await readBytes(await open(), 1)).toString(), 'x')
  })
})

t.test('the upstream is asked for the target, and told nothing else', async (t) => {
  const rows = [
    { name: 'an address', target, head: 'CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n' },
    {
      name: 'an IPv6 address',
      target: { host: '2001:db8::1', port: 80 },
      head: 'CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n',
    },
    {
      name: 'a name, with credentials',
      target: { host: 'bank.test', port: 443 },
      credentials: 'us:er:pä',
      head:
        'CONNECT bank.test:443 HTTP/1.1\r\nHost: bank.test:443\r\n' +
        `Proxy-Authorization: Basic ${Buffer.from('us:er:pä').toString('base64')}\r\n\r\n`,
    },
  ]
  for (const { name, target, credentials = null, head } of rows) {
    const { open, scripted } = await setUp(t, establishing())
    await open({ target, credentials })
    t.strictSame(scripted.heads, [head], name)
  }
})

t.test('failures that are the fault of the upstream', async (t) => {
  const rows: { name: string; script: Script; token?: string }[] = [
    { name: 'closed without an answer', script: closing },
    { name: 'closed in the middle of its answer', script: ({ socket }) => void socket.end('HTTP/1.1 200 O') },
    { name: 'reset', script: resetting },
    { name: 'reset in the middle of its answer', script: saying('HTTP/1.1 2', resetting) },
    { name: 'an SSH banner', script: saying('SSH-2.0-OpenSSH_9.2\r\n\r\n'), token: 'http_protocol_error' },
    {
      name: 'a TLS alert',
      script: saying(Buffer.from('15030300020228', 'hex')),
      token: 'http_protocol_error',
    },
  ]
  for (const { name, script, token } of rows) {
    t.test(name, async (t) => {
      const { open, allClosed } = await setUp(t, script)
      const fields = { blame: 'reply', upstream: 'up-1' }
      await t.rejects(open(), { code: 'upstream_failed', status: 502, fields, ...(token && { token }) })
      await allClosed()
    })
  }

  t.test('a refused connect', async (t) => {
    const upstream = makeUpstream({ id: 'up-1', port: await closedPort() })
    const fields = { blame: 'connect', upstream: 'up-1' }
    await t.rejects(dial(upstream, target, limits), {
      code: 'upstream_failed',
      token: 'connection_refused',
      fields,
    })
  })

  t.test('a name that does not resolve', async (t) => {
    const upstream = makeUpstream({ id: 'up-1', host: 'no such name' })
    await t.rejects(dial(upstream, target, limits), { code: 'upstream_failed', fields: { blame: 'connect' } })
  })

  t.test('a connect that is not taken in time', async (t) => {
    const full = await startFullListener()
    t.teardown(full.close)
    const upstream = makeUpstream({ id: 'up-1', port: full.port })
    await t.rejects(dial(upstream, target, { ...limits, connectTimeoutMs: 50 }), {
      code: 'upstream_timeout',
      status: 504,
      token: 'connection_timeout',
      fields: { blame: 'connect', upstream: 'up-1' },
    })
  })

  t.test('reset before it was asked', async (t) => {
    const { open } = await setUp(t, stayingSilent, (socket) => void socket.resetAndDestroy())
    await t.rejects(open(), { code: 'upstream_failed', fields: { upstream: 'up-1', blame: /connect|reply/ } })
  })
})

t.test('failures that are not', async (t) => {
  const rows = [
    { name: '500, Tinyproxy cannot reach the target', status: 500, code: 'target_failed' },
    { name: '502', status: 502, code: 'target_failed' },
    { name: '503', status: 503, code: 'target_failed' },
    { name: '504', status: 504, code: 'target_failed' },
    { name: '400', status: 400, code: 'upstream_failed', token: 'proxy_configuration_error' },
    {
      name: '401, our credentials, as Tinyproxy says it',
      status: 401,
      code: 'upstream_failed',
      token: 'proxy_configuration_error',
    },
    {
      name: '403, its ConnectPort',
      status: 403,
      code: 'upstream_failed',
      token: 'proxy_configuration_error',
    },
    {
      name: '407, our credentials',
      status: 407,
      code: 'upstream_failed',
      token: 'proxy_configuration_error',
    },
    { name: '404, no proxy', status: 404, code: 'upstream_failed', token: 'http_protocol_error' },
    { name: '429', status: 429, code: 'upstream_failed', token: 'http_protocol_error' },
    { name: '302', status: 302, code: 'upstream_failed', token: 'http_protocol_error' },
  ]
  for (const { name, status, code, token } of rows) {
    t.test(name, async (t) => {
      const { open, allClosed } = await setUp(t, refuse(status))
      const error = await open().catch((error: unknown) => error)
      t.match(error, {
        code,
        status: 502,
        fields: { receivedStatus: status, upstream: 'up-1' },
        ...(token && { token }),
      })
      t.match((error as { fields: object }).fields, { blame: undefined })
      await allClosed()
    })
  }

  t.test('no answer in time', async (t) => {
    const scripts = {
      silence: stayingSilent,
      'a trickle': sayingSlowly('HTTP/1.1 200 OK\r\nX: '.padEnd(10_000, 'x')),
    }
    for (const [name, script] of Object.entries(scripts)) {
      const { open, allClosed } = await setUp(t, script)
      const error = await open({ replyTimeoutMs: 50 }).catch((error: unknown) => error)
      t.match(error, { code: 'upstream_timeout', status: 504, token: 'connection_read_timeout' }, name)
      t.match((error as { fields: object }).fields, { blame: undefined }, name)
      await allClosed()
    }
  })
})

t.test('credentials never show in an error', async (t) => {
  for (const script of [refuse(407), closing, saying('nonsense\r\n\r\n')]) {
    const { open } = await setUp(t, script)
    const error = await open({ credentials: 'user:s3cret' }).catch((error: unknown) => error)
    t.notMatch(JSON.stringify([error, (error as Error).message]), /s3cret|dXNlcjpzM2NyZXQ/)
  }
})

t.test('an abort ends it with its own reason, and no socket stays', async (t) => {
  const reason = new Error('the client has left')

  t.test('before it began', async (t) => {
    const { open, scripted } = await setUp(t, establishing())
    await t.rejects(open({ signal: AbortSignal.abort(reason) }), reason)
    t.equal(scripted.connections().accepted, 0)
  })

  t.test('while it connects', async (t) => {
    const full = await startFullListener()
    t.teardown(full.close)
    const left = new AbortController()
    const dialling = dial(makeUpstream({ id: 'up-1', port: full.port }), target, {
      ...limits,
      signal: left.signal,
    })
    left.abort(reason)
    await t.rejects(dialling, reason)
  })

  t.test('between the connect and the question', async (t) => {
    const left = new AbortController()
    const { open, scripted, allClosed } = await setUp(t, stayingSilent, () => left.abort(reason))
    await t.rejects(open({ signal: left.signal }), reason)
    t.equal(scripted.connections().accepted, 1)
    await allClosed()
  })

  t.test('while it waits for the answer', async (t) => {
    const left = new AbortController()
    const { open, allClosed } = await setUp(t, ({ socket }) => {
      socket.resume()
      left.abort(reason)
    })
    await t.rejects(open({ signal: left.signal }), reason)
    await allClosed()
  })

  t.test('after the tunnel stands it does nothing', async (t) => {
    const left = new AbortController()
    const { open } = await setUp(t, establishing())
    const socket = await open({ signal: left.signal })
    left.abort(reason)
    socket.write('still')
    t.equal((await readBytes(socket, 5)).toString(), 'still')
  })
})

t.test('a reset behind the reply is heard by whoever reads the socket, and ends nothing else', async (t) => {
  let reset = () => {}
  const script: Script = ({ socket }) => {
    reset = () => socket.resetAndDestroy()
    socket.write(established)
  }
  const { open } = await setUp(t, script)
  const socket = await open()
  reset()
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  await closed
  t.match(socket.errored, { code: 'ECONNRESET' })
})

// Fault 40: timers run before sockets are read, so an answer that is there looks as if it were missing.
t.test('our own lag is no fault of the upstream', async (t) => {
  t.test('that took the connection while we stood still', async (t) => {
    const { open } = await setUp(t, establishing())
    const opened = open({ connectTimeoutMs: 50 })
    stall(300)
    await t.resolves(opened)
  })

  t.test('that answered while we stood still', async (t) => {
    const { open } = await setUp(t, ({ socket }) => {
      socket.write(established)
      stall(300)
    })
    await t.resolves(open({ replyTimeoutMs: 50 }))
  })

  t.test('and one that is silent is given up all the same', async (t) => {
    const { open } = await setUp(t, () => stall(300))
    await t.rejects(open({ replyTimeoutMs: 50 }), { code: 'upstream_timeout' })
  })
})
