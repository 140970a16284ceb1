import { createServer } from 'node:net'
import t from 'tap'
import { answerClientError } from '../../src/admin/client-error.ts'
import { makeAdmin } from '../fixtures/admin.ts'
import { listen } from '../fixtures/listen.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'

t.test('what is no HTTP gets a problem document too', async (t) => {
  const server = makeAdmin(t)
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  const rows: [sent: string, status: number][] = [
    ['nonsense\r\n\r\n', 400],
    ['BREW /v1/upstreams HTTP/1.1\r\nHost: h\r\n\r\n', 400],
    ['GET /healthz HTTP/1.1\r\nHost : h\r\n\r\n', 400],
    [`GET /healthz HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  ]
  for (const [sent, status] of rows) {
    const client = await openSocket({ gatewayPort: port })
    t.teardown(() => client.destroy())
    client.write(sent)
    const answer = await readAnswer(client, 'GET')
    t.equal(answer.status, status, sent.slice(0, 30))
    t.match(JSON.parse(answer.body.toString()), { status, code: 'bad_request' })
  }
})

t.test('each error of the parser has its status', async (t) => {
  for (const [code, status] of [
    ['ERR_HTTP_REQUEST_TIMEOUT', 408],
    ['HPE_HEADER_OVERFLOW', 431],
    ['HPE_ANYTHING_ELSE', 400],
  ] as const) {
    const server = createServer((socket) => answerClientError({ code }, socket))
    const { port, close } = await listen(server)
    t.teardown(close)
    const client = await openSocket({ gatewayPort: port })
    t.teardown(() => client.destroy())
    t.equal((await readAnswer(client, 'GET')).status, status, code)
  }
})

t.test('a connection that was reset is not answered', async (t) => {
  const server = createServer((socket) => {
    answerClientError({ code: 'ECONNRESET' }, socket)
    t.ok(socket.destroyed)
  })
  const { port, close } = await listen(server)
  t.teardown(close)
  const client = await openSocket({ gatewayPort: port })
  t.teardown(() => client.destroy())
  await t.rejects(readAnswer(client, 'GET'))
})
