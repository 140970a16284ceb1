import t from 'tap'
import { openSubscriber } from '../../../src/store/redis/subscriber.ts'
import { startFaultProxy } from '../../fixtures/fault-proxy.ts'
import { commandTimeoutMs, redisFor } from '../../fixtures/redis-under-test.ts'
import { startRedis } from '../../fixtures/redis.ts'
import { until } from '../../fixtures/until.ts'

function listen(url: string, timeoutMs = commandTimeoutMs) {
  const heard: string[] = []
  const subscriber = openSubscriber({
    servers: { url },
    channel: 'lk:{f}:feed',
    commandTimeoutMs: timeoutMs,
    onSubscribed: () => heard.push('subscribed'),
    onLost: () => heard.push('lost'),
    onMessage: (text) => heard.push(`told ${text}`),
  })
  return { heard, subscriber }
}

t.test('it hears its channel, and after a loss says that it lost it and has it again', async (t) => {
  const { server, raw } = await redisFor(t)
  const { heard, subscriber } = listen(server.url)
  t.teardown(() => subscriber.close())
  await until('it is subscribed', () => heard.length === 1)
  await raw.publish('lk:{g}:feed', 'not ours')
  await raw.publish('lk:{f}:feed', 'one')
  await until('it is told', () => heard.length === 2)
  await raw.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await until('it is back', () => heard.length === 4)
  await raw.publish('lk:{f}:feed', 'two')
  await until('it is told again', () => heard.length === 5)
  t.same(heard, ['subscribed', 'told one', 'lost', 'subscribed', 'told two'])
})

t.test('Redis may be down at first, and closing says no more than the loss', async (t) => {
  const first = await startRedis()
  await first.stop()
  const { heard, subscriber } = listen(first.url)
  const second = await startRedis({ port: first.port })
  t.teardown(() => second.stop())
  await until('it is subscribed', () => heard.length === 1)
  await subscriber.close()
  t.same(heard, ['subscribed', 'lost'])
})

t.test('a connection that is silent is given up, though nobody publishes', async (t) => {
  const { server } = await redisFor(t)
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  t.teardown(() => proxy.stop())
  const { heard, subscriber } = listen(`redis://127.0.0.1:${proxy.port}`, 50)
  t.teardown(() => subscriber.close())
  await until('it is subscribed', () => heard.length === 1)
  proxy.blackHole()
  await until('it is lost', () => heard.length === 2)
  proxy.heal()
  await until('it is back', () => heard.length === 3)
  t.same(heard, ['subscribed', 'lost', 'subscribed'])
})
