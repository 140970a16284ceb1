import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { asGatewayError, refuseResponse, refuseSocket } from '../../src/gateway/refuse.ts'
import { listen } from '../fixtures/listen.ts'
import { readAnswer, readToEnd } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { socketPair } from '../fixtures/socket-pair.ts'
import { until } from '../fixtures/until.ts'

const denied = new GatewayError('target_denied', { detail: 'No.' })
const busy = new GatewayError('overloaded', { detail: 'Not now.' })

t.test('an error of ours is told as it is', async (t) => {
  t.equal(asGatewayError(denied), denied)
})

t.test('of any other error the client is told nothing', async (t) => {
  const error = asGatewayError(new TypeError("cannot read 'password' of 10.0.0.5"))
  t.match(error, { code: 'overloaded', status: 503, token: 'proxy_internal_error' })
  t.notMatch(error.fields.detail, /password|10\.0\.0\.5/)
  t.match(error.cause, { name: 'TypeError' })
})

t.test('a raw socket', async (t) => {
  async function setUp(t: Test) {
    const pair = await socketPair()
    t.teardown(pair.close)
    return pair
  }

  t.test('gets one answer, then its end; what it still says is dropped', async (t) => {
    const { near, far } = await setUp(t)
    refuseSocket(near, denied, 'r-1')
    far.write('bytes that were meant for a tunnel')
    const answer = await readAnswer(far, 'GET')
    t.equal(answer.status, 403)
    t.equal(answer.headers['connection'], 'close')
    t.match(JSON.parse(answer.body.toString()), { code: 'target_denied' })
    t.equal((await readToEnd(far)).length, 0)
    far.end()
    await until('it is closed', () => near.destroyed)
    t.notOk(near.errored)
  })

  t.test('that never closes is cut off', async (t) => {
    const { near, far } = await setUp(t)
    refuseSocket(near, denied, 'r-1')
    await readToEnd(far)
    await until('it is closed', () => near.destroyed)
  })

  t.test('that cannot be written to is closed', async (t) => {
    const { near } = await setUp(t)
    near.end()
    refuseSocket(near, denied, 'r-1')
    t.ok(near.destroyed)
  })
})

t.test("node:http's response", async (t) => {
  type Serve = (req: IncomingMessage, res: ServerResponse) => void
  async function setUp(t: Test, serve: Serve = (req, res) => refuseResponse(req, res, busy, 'r-1')) {
    const server = createServer(serve)
    const { port, sockets, close } = await listen(server)
    t.teardown(close)
    const client = await openSocket({ gatewayPort: port })
    t.teardown(() => client.destroy())
    return { client, allClosed: () => until('the connection is closed', () => sockets.size === 0) }
  }
  const get = 'GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n'

  t.test('of a whole request keeps the connection for the next one', async (t) => {
    const { client } = await setUp(t)
    for (let i = 0; i < 2; i++) {
      client.write(get)
      const answer = await readAnswer(client, 'GET')
      t.equal(answer.status, 503)
      t.match(JSON.parse(answer.body.toString()), { code: 'overloaded' })
    }
  })

  t.test('of what may never be asked closes it, and drops what came behind', async (t) => {
    for (const error of [denied, new GatewayError('bad_request', { detail: 'No.' })]) {
      const { client, allClosed } = await setUp(t, (req, res) => refuseResponse(req, res, error, 'r-1'))
      client.write(get)
      const answer = await readAnswer(client, 'GET')
      t.equal(answer.headers['connection'], 'close')
      client.write('x'.repeat(1_000_000))
      t.equal((await readToEnd(client)).length, 0)
      client.end()
      await allClosed()
    }
  })

  t.test('of a HEAD has no body', async (t) => {
    const { client } = await setUp(t)
    client.write(get.replace('GET', 'HEAD'))
    t.equal((await readAnswer(client, 'HEAD')).status, 503)
    client.write(get)
    t.equal((await readAnswer(client, 'GET')).status, 503, 'and the next answer is read from its beginning')
  })

  t.test('of a body that is still to come closes the connection, without reading it all', async (t) => {
    const { client, allClosed } = await setUp(t)
    client.write('POST http://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nand so on')
    const answer = await readAnswer(client, 'POST')
    t.equal(answer.status, 503)
    t.equal(answer.headers['connection'], 'close')
    await allClosed()
  })

  t.test('of a chunked body as well, whatever was made of the headers meanwhile', async (t) => {
    const { client } = await setUp(t, (req, res) => {
      req.headers = {}
      refuseResponse(req, res, denied, 'r-1')
    })
    client.write('POST http://h/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n')
    t.equal((await readAnswer(client, 'POST')).headers['connection'], 'close')
  })

  t.test('to HTTP/1.0 closes the connection', async (t) => {
    const { client, allClosed } = await setUp(t)
    client.write('GET http://h/ HTTP/1.0\r\n\r\n')
    t.equal((await readAnswer(client, 'GET')).headers['connection'], 'close')
    await allClosed()
  })

  t.test('that is half out is reset: the rest is missing', async (t) => {
    const { client, allClosed } = await setUp(t, (req, res) => {
      res.writeHead(200, { 'content-length': 10 })
      res.write('half', () => refuseResponse(req, res, denied, 'r-1'))
    })
    client.write(get)
    await t.rejects(readToEnd(client), { code: 'ECONNRESET' })
    await allClosed()
  })
})
