// Memory that runs short (fault 42): new work is refused and says why, what is open goes on (design 13.11), and it ends.
// The heap that really fills is in test/faults/heap.ts.

import t from 'tap'
import { startGateway } from '../fixtures/gateway.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { readAnswer, readToEnd } from '../fixtures/raw-answer.ts'
import { connectThrough, getThrough, openSocket, type Answer } from '../fixtures/raw-client.ts'
import { establishing, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'

const target = 'localhost:443'

t.test('short of memory: new work gets 503, a tunnel goes on, and it ends', async (t) => {
  const upstream = await startScriptedUpstream(establishing())
  t.teardown(upstream.stop)
  let usedBytes = 50
  const heap = {
    read: () => ({ usedBytes, mayUseBytes: 100 }),
    collect() {},
    onCollected(listener: () => void) {
      collected = listener
      return () => {}
    },
  }
  let collected = () => {}
  const { gatewayPort, gateway, facts, stop } = await startGateway({ upstreams: [upstream], heap })
  t.teardown(() => stop())
  const tunnel = await holdTunnel({ gatewayPort }, { target, userinfo: 'job-1:x' })
  t.teardown(tunnel.close)
  const kept = await getThrough({ gatewayPort, url: '/v1/job', userinfo: 'job-1:x' })
  t.teardown(() => kept.socket.destroy())
  const tells = ({ status, headers, body }: Answer, what: string) => {
    t.equal(status, 503, what)
    t.ok(headers['retry-after'], 'when to come again')
    t.match(body.toString(), /"code":"overloaded".*short of memory/)
  }

  usedBytes = 90
  collected()
  t.strictSame(gateway.missing(), ['memory is short: 90 % is in use'])
  tells(await connectThrough({ gatewayPort, target, userinfo: 'job-1:x' }), 'a new connection')
  const again = { gatewayPort, socket: kept.socket, userinfo: 'job-1:x' }
  tells(await getThrough({ ...again, url: 'http://localhost/' }), 'a request on a connection that is here')
  const silent = await openSocket({ gatewayPort })
  t.teardown(() => silent.destroy())
  t.equal((await readAnswer(silent, 'GET')).status, 503, 'who says nothing costs nothing either')
  await readToEnd(silent)
  await tunnel.carries()
  t.equal((await getThrough({ ...again, url: '/v1/job' })).status, 200, 'a job may ask, and release itself')
  t.equal(facts.of('memory_short').length, 1)
  t.equal(facts.of('pin_made').length, 1, 'no job was pinned for nothing')

  usedBytes = 50
  t.strictSame(gateway.missing(), [])
  const served = await connectThrough({ gatewayPort, target, userinfo: 'job-2:x' })
  t.teardown(() => served.socket.destroy())
  t.equal(served.status, 200)
  t.equal(facts.of('memory_found').length, 1)
})
