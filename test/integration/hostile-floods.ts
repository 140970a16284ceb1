// What one client could take from all others: memory by requests that wait, look-ups, connections that never end. Each
// row is an attack that once worked.

import { once } from 'node:events'
import t from 'tap'
import { expectRefused, startHostile } from '../fixtures/hostile.ts'
import { readAnswer } from '../fixtures/raw-answer.ts'
import { openSocket } from '../fixtures/raw-client.ts'
import { established } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const host = 'Host: a\r\n'

t.test(
  'requests without end behind one that waits: the connection is cut off, and its tunnel ends',
  async (t) => {
    const hostile = await startHostile(t, {
      // A normal client has an echo; port 80 never answers.
      script: ({ socket, authority }) => {
        socket.write(established)
        if (authority.endsWith(':80')) socket.resume()
        else socket.pipe(socket)
      },
    })
    const { gateway } = hostile
    const client = await openSocket(hostile)
    const closed = once(client, 'close').catch((error: NodeJS.ErrnoException) => error.code)
    client.write(`GET http://127.0.0.1/ HTTP/1.1\r\n${host}X-Job-Id: flood\r\n\r\n`)
    await until('it is under way', () => gateway.gateway.tunnels.count === 1)
    client.write(`GET http://a/ HTTP/1.1\r\n${host}\r\n`.repeat(10_000))
    t.equal(await closed, 'ECONNRESET')
    await until(
      'nothing is left of it',
      () => gateway.gateway.tunnels.count + gateway.gateway.connections === 0,
    )
  },
)

t.test('a report whose body never comes is told so, and its connection closed', async (t) => {
  const hostile = await startHostile(t, { settings: { headTimeoutMs: 300 } })
  const head = `POST /v1/job/report HTTP/1.1\r\n${host}X-Job-Id: slow\r\nContent-Length: 40\r\n`
  const late = { status: 408, code: 'bad_request', detail: /did not arrive within 300 ms/ } as const
  await expectRefused(t, hostile, `${head}\r\n`, late)
  await expectRefused(t, hostile, `${head}\r\n{"outcome": `, late)
})

t.test('a report that waits for a 100 is asked on', async (t) => {
  const hostile = await startHostile(t)
  const client = await openSocket(hostile)
  t.teardown(() => client.destroy())
  const body = '{"outcome": "ok"}'
  client.write(
    `POST /v1/job/report HTTP/1.1\r\n${host}X-Job-Id: a\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
  )
  t.match(String(await once(client, 'data')), /^HTTP\/1\.1 100 /)
  client.write(body)
  t.equal((await readAnswer(client, 'POST')).status, 202)
})

t.test('names that nobody answers for, asked for and left: other jobs have theirs resolved', async (t) => {
  const hostile = await startHostile(t, {
    target: 'bank.example:443',
    lookup: (name) =>
      name === 'bank.example' ? Promise.resolve([{ address: '127.0.0.1', ttlMs: 0 }]) : new Promise(() => {}),
  })
  const { facts } = hostile.gateway
  for (let index = 0; index < 1100; index++) {
    const client = await openSocket(hostile)
    client.on('error', () => {})
    client.write(`CONNECT ${index}.slow.example:443 HTTP/1.1\r\n${host}X-Job-Id: many\r\n\r\n`)
    // All that it has cost by now is a packet.
    client.end(() => client.destroy())
  }
  await until('all are on record', () => facts.of('request_refused').length === 1100)
  t.equal(facts.of('request_refused').filter(({ code }) => code === 'rate_limited').length, 1000)
  await hostile.serveOne()
})
