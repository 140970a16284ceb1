// What one client could take from all others: memory by requests that wait, look-ups, connections that never end. Each
// row is an attack that once worked.

import { once } from 'node:events'
import t from 'tap'
import { startHostile } from '../fixtures/hostile.ts'
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
