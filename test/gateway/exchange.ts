import { once } from 'node:events'
import t from 'tap'
import { watchExchange } from '../../src/gateway/exchange.ts'
import { socketPair } from '../fixtures/socket-pair.ts'

t.test(
  'what was carried before the exchange is not counted, and the end of the socket is its end',
  async (t) => {
    const { near, far, close } = await socketPair()
    t.teardown(close)
    near.write('CONNECT ...')
    await once(far, 'data')
    const exchange = watchExchange(near, { bytes: () => 100 })
    const atStart = exchange.bytes()
    near.write('request')
    far.end('answer')
    near.resume()
    await once(near, 'end')
    t.equal(exchange.bytes() - atStart, 'request'.length + 'answer'.length)
    t.equal(atStart, 'CONNECT ...'.length + 100, 'what the client took counts as movement')
    near.end()
    t.same(await exchange.ended, { bytesUp: 7, bytesDown: 6, endedBy: 'upstream' })
  },
)

t.test('who ended it', async (t) => {
  const open = async (left: boolean) => {
    const { near, close } = await socketPair()
    t.teardown(close)
    return { near, exchange: watchExchange(near, { left: () => left }) }
  }
  const gone = await open(true)
  gone.near.destroy()
  t.equal((await gone.exchange.ended).endedBy, 'client')
  for (const why of ['idle', 'life', 'stop', 'drained'] as const) {
    const { near, exchange } = await open(true)
    near.on('error', () => {})
    exchange.close(why)
    t.equal((await exchange.ended).endedBy, why)
    t.ok(near.destroyed)
  }
  const { near } = await open(false)
  near.destroy()
  await once(near, 'close')
  t.equal((await watchExchange(near).ended).endedBy, 'upstream', 'a socket that was gone at the start')
})

t.test('who still waits when it is closed for being idle is told so', async (t) => {
  const { near, close } = await socketPair()
  t.teardown(close)
  const exchange = watchExchange(near)
  const failed = once(near, 'error')
  exchange.close('idle')
  t.match(await failed, [{ code: 'upstream_timeout', status: 504 }])
})
