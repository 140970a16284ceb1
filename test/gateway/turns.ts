import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { makeTurns } from '../../src/gateway/turns.ts'
import { listen } from '../fixtures/listen.ts'
import { readAnswer, readToEnd } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { until } from '../fixtures/until.ts'

/** A server whose answers the test gives. */
async function setUp(t: Test, { maxWaiting = 2 } = {}) {
  const turns = makeTurns({ maxWaiting })
  const running: { req: IncomingMessage; res: ServerResponse }[] = []
  const arrived: string[] = []
  const server = createServer((req, res) => {
    arrived.push(req.url!)
    turns.take(
      req,
      res,
      () => running.push({ req, res }),
      () => res.writeHead(429, { connection: 'close' }).end(),
    )
  })
  const { port, close } = await listen(server)
  t.teardown(close)
  const client = await openSocket({ gatewayPort: port })
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  return {
    client,
    running: () => running.map(({ req }) => req.url),
    arrived,
    answer: (index: number, headers = {}) => running[index]!.res.writeHead(200, headers).end(`${index}`),
  }
}
const get = (...paths: string[]) => paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`).join('')

t.test('one after the other, each behind the answer of the one before', async (t) => {
  const { client, running, arrived, answer } = await setUp(t)
  client.write(get('/0', '/1', '/2'))
  await until('all are there', () => arrived.length === 3)
  for (const index of [0, 1, 2]) {
    t.equal(running().length, index + 1, 'no other is under way')
    answer(index)
    t.equal((await readAnswer(client, 'GET')).body.toString(), `${index}`)
    await until('its turn is over', () => index === 2 || running().length === index + 2)
  }
  client.write(get('/3'))
  await until('who waits for nobody is not kept', () => running().length === 4)
  answer(3)
  t.equal((await readAnswer(client, 'GET')).body.toString(), '3')
})

t.test('one too many is told so in its turn, and the rest is not heard', async (t) => {
  const { client, running, arrived, answer } = await setUp(t)
  client.write(get('/0', '/1', '/2', '/3', '/4', '/5'))
  await until('all are there', () => arrived.length === 6)
  for (const index of [0, 1, 2]) {
    await until('its turn', () => running().length === index + 1)
    answer(index)
    t.equal((await readAnswer(client, 'GET')).status, 200)
  }
  t.equal((await readAnswer(client, 'GET')).status, 429)
  t.equal((await readToEnd(client)).length, 0)
  t.strictSame(running(), ['/0', '/1', '/2'])
})

t.test('behind the last answer of a connection nothing is done', async (t) => {
  const { client, running, arrived, answer } = await setUp(t)
  client.write(get('/0', '/1'))
  await until('all are there', () => arrived.length === 2)
  answer(0, { connection: 'close' })
  t.equal((await readToEnd(client)).toString().split('HTTP/1.1 ').length, 2, 'one answer')
  t.strictSame(running(), ['/0'])
})

t.test('who leaves is not served any more', async (t) => {
  const { client, running, arrived } = await setUp(t)
  client.write(get('/0', '/1'))
  await until('all are there', () => arrived.length === 2)
  client.resetAndDestroy()
  await until('all is over', () => client.destroyed)
  t.strictSame(running(), ['/0'])
})

t.test('who sends on and on behind the last is cut off, so that it costs no more', async (t) => {
  const { client, running } = await setUp(t)
  const closed = once(client, 'close').catch((error: NodeJS.ErrnoException) => error.code)
  client.write(get(...Array.from({ length: 1000 }, (_, index) => `/${index}`)))
  t.equal(await closed, 'ECONNRESET')
  t.strictSame(running(), ['/0'])
})
