// Plain http:// requests and WebSocket through the real listener, a real Tinyproxy and a real origin.

import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { startBehindTinyproxy } from '../fixtures/behind-tinyproxy.ts'
import { readAnswer, readBytes, readToEnd } from '../fixtures/raw-answer.ts'
import { basic, getThrough, openSocket } from '../fixtures/raw-client.ts'
import { metric } from '../fixtures/readings.ts'
import { startTarget, type SeenWithBody } from '../fixtures/target.ts'
import { startTcpTarget } from '../fixtures/tcp-target.ts'
import { until } from '../fixtures/until.ts'

async function startAll(t: Test) {
  const target = await startTarget()
  t.teardown(target.close)
  return { target, ...(await startBehindTinyproxy(t, { bind: '127.0.1.7' })) }
}

t.test('what the target sees of a plain request', async (t) => {
  const { target, gatewayPort } = await startAll(t)
  const headers = {
    'X-Job-Id': 'job-1',
    'X-Job-Type': 'payment',
    'Proxy-Connection': 'keep-alive',
    'Proxy-Authorization': basic('job-1:x'),
    Connection: 'X-Secret, Content-Length',
    'X-Secret': 'for the proxy only',
    'Keep-Alive': 'timeout=5',
    TE: 'trailers',
    Cookie: ['a=1', 'b=2'],
    __proto__x: 'kept',
  }
  const answer = await getThrough({
    gatewayPort,
    url: `${target.origin}/a/../b?x=%41&y`,
    method: 'POST',
    headers,
    body: 'hello',
  })
  answer.socket.destroy()
  t.equal(answer.status, 200)
  const seen = JSON.parse(answer.body.toString()) as SeenWithBody
  t.equal(seen.address, '127.0.1.7', 'it comes from the upstream')
  t.equal(seen.url, '/a/../b?x=%41&y', 'the path is as the client wrote it')
  t.equal(seen.bytes, 5, 'the body is framed, whatever Connection named')
  t.equal(seen.headers.host, `127.0.0.1:${target.port}`)
  t.equal(seen.headers['__proto__x'], 'kept')
  t.match(String(seen.headers.cookie), 'a=1')
  const names = Object.keys(seen.headers)
  t.strictSame(
    names.filter((name) => /^(x-job-|proxy-|x-secret|keep-alive|te$|via|x-forwarded)/.test(name)),
    [],
    'nothing of the job, the hop or the proxy goes on',
  )
})

t.test('a connection serves one request after the other, each for the job that it names', async (t) => {
  const { target, gateway, gatewayPort } = await startAll(t)
  const socket = await openSocket({ gatewayPort })
  t.teardown(() => socket.destroy())
  for (const job of ['job-1', 'job-1', 'job-2']) {
    const answer = await getThrough({ gatewayPort, url: `${target.origin}/`, userinfo: `${job}:x`, socket })
    t.equal(answer.status, 200)
  }
  t.equal(await metric(gateway, 'lanekeeper_known_pins'), 2)
  const anonymous = await getThrough({ gatewayPort, url: `${target.origin}/`, socket })
  t.equal(anonymous.status, 407, 'an identity is never inherited from the request before')
})

t.test('a chunked DELETE is one request, not two', async (t) => {
  const { target, gatewayPort } = await startAll(t)
  const socket = await openSocket({ gatewayPort })
  t.teardown(() => socket.destroy())
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
  socket.write(
    `DELETE ${target.origin}/one HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nX-Job-Id: job-1\r\n` +
      `Transfer-Encoding: chunked\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
  )
  const answer = await readAnswer(socket, 'DELETE')
  t.equal(
    (JSON.parse(answer.body.toString()) as SeenWithBody).bytes,
    smuggled.length,
    'the bytes are its body',
  )
  t.strictSame(
    target.requests.map(({ url }) => url),
    ['/one'],
  )
})

t.test('Expect: 100-continue: the body is asked for by the target', async (t) => {
  const { target, gatewayPort } = await startAll(t)
  const socket = await openSocket({ gatewayPort })
  t.teardown(() => socket.destroy())
  socket.write(
    `POST ${target.origin}/p HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nX-Job-Id: job-1\r\n` +
      'Expect: 100-continue\r\nContent-Length: 5\r\n\r\n',
  )
  t.match((await readBytes(socket, 25)).toString(), 'HTTP/1.1 100 Continue\r\n\r\n')
  socket.write('hello')
  const answer = await readAnswer(socket, 'POST')
  t.equal((JSON.parse(answer.body.toString()) as SeenWithBody).bytes, 5)
})

t.test('a client that wants the connection closed after the answer gets it closed', async (t) => {
  const { target, gatewayPort } = await startAll(t)
  const rows = {
    'Connection: close': `HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nConnection: close`,
    'HTTP/1.0': 'HTTP/1.0',
  }
  for (const [name, head] of Object.entries(rows)) {
    const socket = await openSocket({ gatewayPort })
    t.teardown(() => socket.destroy())
    // The body's length is not told, so only the end of the connection can end it for HTTP/1.0.
    socket.write(`GET ${target.origin}/echo ${head}\r\nX-Job-Id: job-1\r\n\r\n`)
    t.match((await readToEnd(socket)).toString(), /^HTTP\/1\.1 200 .*connection: close/is, name)
  }
  const refused = await getThrough({
    gatewayPort,
    url: `${target.origin}/`,
    headers: { Connection: 'close' },
  })
  t.equal(refused.status, 407)
  t.equal((await readToEnd(refused.socket)).length, 0, 'and after a refusal too')
  refused.socket.destroy()
})

t.test('what the client sees of an answer', async (t) => {
  const { target, gatewayPort } = await startAll(t)
  const head = await getThrough({
    gatewayPort,
    url: `${target.origin}/bytes?n=70000`,
    method: 'HEAD',
    userinfo: 'job-1:x',
  })
  head.socket.destroy()
  t.match(
    head,
    { status: 200, headers: { 'content-length': '70000' } },
    'HEAD tells the length of a body that it lacks',
  )

  const origin = await startTcpTarget(({ socket }) => {
    socket.once('data', () =>
      socket.end(
        'HTTP/1.1 201 Made\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\n' +
          'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-End: kept\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      ),
    )
  })
  t.teardown(origin.stop)
  const answer = await getThrough({
    gatewayPort,
    url: `http://127.0.0.1:${origin.port}/`,
    userinfo: 'job-1:x',
  })
  answer.socket.destroy()
  t.match(answer, { status: 201, reason: 'Made', headers: { 'x-end': 'kept', 'set-cookie': 'a=1, b=2' } })
  t.equal(answer.body.toString(), 'ok')
  t.equal(answer.headers['connection'], 'keep-alive', 'the end of the tunnel is not the end of the client')
  for (const name of ['x-hop', 'keep-alive', 'proxy-authenticate'])
    t.notOk(answer.headers[name], `${name} goes no further`)
})

t.test('clients that leave in the middle of an answer leave no tunnel behind', async (t) => {
  const { target, gateway, gatewayPort } = await startAll(t)
  for (let index = 0; index < 50; index++) {
    const socket = connect({ host: '127.0.0.1', port: gatewayPort })
    socket.on('error', () => {})
    socket.write(
      `GET ${target.origin}/bytes?n=50000000 HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nX-Job-Id: j${index}\r\n\r\n`,
    )
    await readBytes(socket, 1000)
    socket.destroy()
  }
  await until('no tunnel is left', async () => (await metric(gateway, 'lanekeeper_upstream_tunnels')) === 0)
  await until('the target is left alone', () => target.connections().open === 0)
  t.equal(await metric(gateway, 'lanekeeper_tunnels_opened_total'), 50)
})

t.test('an answer that breaks off is not passed on as a whole one', async (t) => {
  const { gatewayPort } = await startAll(t)
  const origin = await startTcpTarget(({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this')
    socket.once('data', () => setImmediate(() => socket.resetAndDestroy()))
  })
  t.teardown(origin.stop)
  await t.rejects(getThrough({ gatewayPort, url: `http://127.0.0.1:${origin.port}/`, userinfo: 'job-1:x' }))
})

t.test('a WebSocket: 101, then the bytes of both sides', async (t) => {
  const { target, gatewayPort } = await startAll(t)
  const socket = await openSocket({ gatewayPort })
  t.teardown(() => socket.destroy())
  socket.write(
    `GET ${target.origin}/ws HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nX-Job-Id: job-1\r\n` +
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n' +
      'early ',
  )
  const answer = await readAnswer(socket, 'GET')
  t.equal(answer.status, 101)
  t.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  socket.write('frames')
  t.equal((await readBytes(socket, 12)).toString(), 'early frames')
  t.equal(target.requests[0]?.address, '127.0.1.7')
  t.notOk(target.requests[0]?.headers['x-job-id'])
})

t.test('an upgrade that the target does not take: its answer, then the end', async (t) => {
  const { gatewayPort } = await startAll(t)
  const origin = await startTcpTarget(({ socket }) => {
    socket.once('data', () => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'))
  })
  t.teardown(origin.stop)
  const socket = await openSocket({ gatewayPort })
  t.teardown(() => socket.destroy())
  socket.write(
    `GET http://127.0.0.1:${origin.port}/ws HTTP/1.1\r\nHost: x\r\nX-Job-Id: job-1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n` +
      'GET http://elsewhere/ HTTP/1.1\r\nX-Job-Id: job-1\r\n\r\n',
  )
  const answer = await readAnswer(socket, 'GET')
  t.equal(answer.status, 403)
  t.equal(answer.body.toString(), 'no')
  t.equal((await readToEnd(socket)).length, 0, 'and nothing else')
  const heard = origin.connections[0]!.received().toString()
  t.notMatch(heard, 'elsewhere', 'bytes behind the request never reach a target that did not switch')
})
