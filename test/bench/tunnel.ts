// The load generator against the target through the stub: what it counts as done was done.

import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { startChild } from '../../bench/fixtures/child.ts'
import { makeScope } from '../../bench/fixtures/scope.ts'
import type { Load } from '../../bench/fixtures/load.ts'
import type { TargetPorts } from '../../bench/fixtures/target-process.ts'
import { connectHead, openTunnel } from '../../bench/fixtures/tunnel.ts'
import { startUpstream } from '../../bench/fixtures/upstream.ts'
import { closedPort, listen } from '../fixtures/listen.ts'

function scopeFor(t: Test) {
  const scope = makeScope(new AbortController().signal)
  t.teardown(() => scope.end())
  return scope
}

async function startRoad(t: Test) {
  const scope = scopeFor(t)
  const program = (name: string) => new URL(`../../bench/fixtures/${name}`, import.meta.url)
  const { ready } = await startChild<TargetPorts>(scope, program('target-process.ts'))
  const { port } = await startUpstream(scope, 'stub')
  const load = await startChild(scope, program('tunnel-load.ts'))
  return { target: `127.0.0.1:${ready.exchangePort}`, proxyPort: port, load }
}

t.test('exchanges of any size end when the last byte has come', async (t) => {
  const { target, proxyPort } = await startRoad(t)
  const tunnel = await openTunnel(proxyPort, connectHead(target, 'job'))
  // The longest are more than a kernel takes at once.
  const sizes = [
    { up: 8, down: 1 },
    { up: 500, down: 500 },
    { up: 65_536, down: 65_537 },
    { up: 20_000_000, down: 1 },
    { up: 8, down: 20_000_000 },
  ]
  for (const size of sizes) await t.resolves(tunnel.exchange(size), `${size.up} up, ${size.down} down`)
  t.ok(tunnel.setUpUs > 0)
  await t.resolves(tunnel.close())
  await t.rejects(tunnel.exchange({ up: 8, down: 1 }), { message: /has ended/ })
})

t.test('a load generator counts tunnels and exchanges', async (t) => {
  const { target, proxyPort, load } = await startRoad(t)
  const way = { proxyPort, target, jobs: 2 }
  const exchange = { up: 500, down: 500 }
  const tunnels = await load.ask<Load>('tunnels', { way, seconds: 0.05, inFlight: 2, exchange })
  t.match(tunnels, { errors: 0, firstError: null })
  t.ok(tunnels.operations >= 2)
  await load.ask('open', { way: { ...way, jobs: 0 }, count: 3 })
  const exchanges = await load.ask<Load>('exchanges', { seconds: 0.05, exchange })
  t.match(exchanges, { errors: 0, firstError: null })
  t.ok(exchanges.operations >= 3)
  await load.ask('close')
})

t.test('what a proxy refuses is an error, in its words', async (t) => {
  const { proxyPort, load } = await startRoad(t)
  const way = { proxyPort, target: `127.0.0.1:${await closedPort()}`, jobs: 1 }
  const exchange = { up: 8, down: 8 }
  const report = await load.ask<Load>('tunnels', { way, seconds: 0.05, inFlight: 1, exchange })
  t.match(report, { operations: 0, errors: 1, firstError: 'answered HTTP/1.1 500 Unable to connect' })
  await t.rejects(load.ask('open', { way, count: 1 }), { message: /500 Unable to connect/ })
})

t.test('a tunnel that breaks in mid exchange, and one that says too much, are errors', async (t) => {
  const endings = { broke: 'the tunnel ended too early', 'too much': 'more bytes came than were asked for' }
  for (const [ending, message] of Object.entries(endings)) {
    const server = createServer((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.0 200 OK\r\n\r\n')
        socket.once('data', () => (ending === 'broke' ? socket.end('x') : socket.write('xxx')))
      })
    })
    const { port, close } = await listen(server)
    t.teardown(close)
    const tunnel = await openTunnel(port, connectHead('127.0.0.1:1', 'job'))
    await t.rejects(tunnel.exchange({ up: 8, down: 2 }), { message }, ending)
  }
})

t.test('a child that ends fails what was asked of it, and what is asked later', async (t) => {
  const { load, target, proxyPort } = await startRoad(t)
  const way = { proxyPort, target, jobs: 1 }
  const asked = load.ask('tunnels', { way, seconds: 60, inFlight: 1, exchange: { up: 8, down: 8 } }, 60_000)
  process.kill(load.pid, 'SIGKILL')
  await t.rejects(asked, { message: 'tunnel-load.ts ended with SIGKILL' })
  await t.rejects(load.ask('close'), { message: 'tunnel-load.ts has ended' })
})

t.test('a question that is not answered in time fails by its name', async (t) => {
  const { load, target, proxyPort } = await startRoad(t)
  const question = {
    way: { proxyPort, target, jobs: 1 },
    seconds: 60,
    inFlight: 1,
    exchange: { up: 8, down: 8 },
  }
  await t.rejects(load.ask('tunnels', question, 20), {
    message: 'tunnel-load.ts did not answer "tunnels" within 20 ms',
  })
})
