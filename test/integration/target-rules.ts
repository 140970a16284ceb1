// What a lane may reach, through the real listener: every road and spelling that might lead around a rule; two gateways on
// one Redis, where a pinned job leaves out its type; and a control on real PostgreSQL whose rules change while jobs run.

import t from 'tap'
import type { Restriction } from '../../src/types.ts'
import { adminSend } from '../fixtures/admin-client.ts'
import { startFleet, startRole } from '../fixtures/fleet.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { expectRefused, startHostile, type HostileOptions } from '../fixtures/hostile.ts'
import { basic, connectThrough, getThrough, type Answer } from '../fixtures/raw-client.ts'
import { openOn, redisFor } from '../fixtures/redis-under-test.ts'
import { establishing, startScriptedUpstream } from '../fixtures/scripted-upstream.ts'
import { until } from '../fixtures/until.ts'

const bankOnly: Restriction = {
  id: 'bank-only',
  kind: 'targets',
  type: 'payment',
  institution: 'bank-a',
  upstreams: { ids: [] },
  overflow: false,
  targets: ['bank.example', '*.bank.example', '203.0.113.7', '2001:db8:7::/48'],
}
const payment = 'type=payment,institution=bank-a:x'
const names = {
  'bank.example': ['203.0.113.9'],
  'api.bank.example': ['203.0.113.9'],
  'other.example': ['203.0.113.7'],
}
const refusal = {
  status: 403,
  code: 'target_denied',
  token: 'http_request_denied',
  detail: /lane payment:bank-a .*restriction bank-only/,
} as const

/** As `names` has it, and which names were looked up. */
function makeLookup() {
  const asked: string[] = []
  const lookup = async (host: string) => {
    asked.push(host)
    return (names[host as keyof typeof names] ?? []).map((address) => ({ address, ttlMs: 60_000 }))
  }
  return { asked, lookup }
}

type Road = (target: string, userinfo: string) => string
const roads: { readonly [name: string]: Road } = {
  CONNECT: (target, userinfo) =>
    `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: ${basic(userinfo)}\r\n\r\n`,
  http: (target, userinfo) =>
    `GET http://${target}/ HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: ${basic(userinfo)}\r\nConnection: close\r\n\r\n`,
  upgrade: (target, userinfo) =>
    `GET http://${target}/ HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: ${basic(userinfo)}\r\n` +
    'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
}

const refused = {
  'another name': 'other.example:443',
  'a name that does not exist': 'nowhere.example:443',
  'a name that only ends like it': 'evilbank.example:443',
  'a name that begins like it': 'bank.example.other.example:443',
  'the address that its name stands for': '203.0.113.9:443',
  'an address beside a listed one': '203.0.113.8:443',
  'a mapped one beside a listed one': '[::ffff:203.0.113.8]:443',
  'a listed address, embedded': '[64:ff9b::203.0.113.7]:443',
  'an IPv6 address beside a listed range': '[2001:db8:8::1]:443',
}
const reached = {
  'its name': 'bank.example:443',
  'its name in upper case': 'BANK.Example:443',
  'its name with a dot': 'bank.example.:443',
  'a name below it': 'api.bank.example:443',
  'a listed address': '203.0.113.7:443',
  'a listed address, mapped': '[::ffff:203.0.113.7]:443',
  'a listed IPv6 address, spelled out': '[2001:0DB8:0007:0000:0:0:0:0001]:443',
}

for (const resolve of ['gateway', 'upstream'] as const) {
  t.test(`a payment reaches its bank and nothing else (targets.resolve: ${resolve})`, async (t) => {
    const { asked, lookup } = makeLookup()
    const options: HostileOptions = { restrictions: [bankOnly], lookup, resolve, target: '203.0.113.1:443' }
    const hostile = await startHostile(t, options)
    for (const [road, write] of Object.entries(roads))
      for (const [name, target] of Object.entries(refused))
        await t.test(`${road} to ${name}`, (t) =>
          expectRefused(t, hostile, write(target, `job=new,${payment}`), refusal),
        )
    t.same(asked, [], 'no name was looked up')
    for (const [name, target] of Object.entries(reached))
      t.equal(await statusOf(hostile, target, `job=p-1,${payment}`), 200, name)
    for (const userinfo of ['job=s-1,type=statement:x', 'job=i-1,institution=bank-a:x', 'free:x'])
      t.equal(await statusOf(hostile, '203.0.113.9:443', userinfo), 200, `${userinfo} is free`)
  })
}

async function statusOf(gateway: { readonly gatewayPort: number }, target: string, userinfo: string) {
  const { status, socket } = await connectThrough({ gatewayPort: gateway.gatewayPort, target, userinfo })
  socket.destroy()
  return status
}

t.test('each request on a kept connection is held to the rules', async (t) => {
  const hostile = await startHostile(t, {
    restrictions: [bankOnly],
    lookup: makeLookup().lookup,
    target: '203.0.113.1:443',
  })
  const ask = (target: string, socket?: Answer['socket']) =>
    getThrough({
      gatewayPort: hostile.gatewayPort,
      url: `http://${target}/`,
      userinfo: `job=kept,${payment}`,
      ...(socket && { socket }),
    })
  const first = await ask('other.example')
  t.equal(first.status, 403)
  const bytes = hostile.bytesToUpstreams()
  const second = await ask(
    '203.0.113.9',
    first.headers['connection'] === 'keep-alive' ? first.socket : undefined,
  )
  t.equal(second.status, 403)
  t.equal(hostile.bytesToUpstreams(), bytes)
  first.socket.destroy()
  second.socket.destroy()
})

t.test('a pinned job that leaves out its type is held as it was pinned, at every gateway', async (t) => {
  const open = openOn(await redisFor(t))
  const { store } = await open(t)
  const upstreams = [await startScriptedUpstream(establishing()), await startScriptedUpstream(establishing())]
  for (const upstream of upstreams) t.teardown(upstream.stop)
  const bytes = () => upstreams.reduce((sum, { bytesRead }) => sum + bytesRead(), 0)
  const a = await startGateway({ store, gatewayId: 'gw-a', upstreams, restrictions: [bankOnly] })
  t.teardown(a.stop)
  const b = await startGateway({ store, gatewayId: 'gw-b' })
  t.teardown(b.stop)
  t.equal(await statusOf(a, '203.0.113.7:443', `job=p-1,${payment}`), 200)
  await until('its tunnel has ended', () => a.gateway.tunnels.count === 0)
  await until('the pin is known to be used', async () => (await store.pins.read('p-1'))?.freshBy === null)

  const silent = ['p-1:x', 'job=p-1,type=payment:x', 'job=p-1,institution=bank-a:x']
  const before = bytes()
  const gateways = { 'which does not know the pin yet': b, 'which knows it': b, 'which made it': a }
  for (const [which, gateway] of Object.entries(gateways))
    for (const userinfo of silent) {
      const answer = await connectThrough({ gatewayPort: gateway.port, target: '203.0.113.9:443', userinfo })
      answer.socket.destroy()
      t.equal(answer.status, 403, `${userinfo} at the gateway ${which}`)
      t.match(JSON.parse(answer.body.toString()), { code: 'target_denied', detail: refusal.detail })
    }
  t.equal(bytes(), before, 'not one byte to an upstream')
  t.same(
    [a, b].map(({ facts }) => facts.of('pin_made').length),
    [1, 0],
  )
  t.same(
    [a, b].map(({ gateway }) => gateway.load.own.size),
    [0, 0],
    'no seat is left taken',
  )

  for (const gateway of [a, b])
    for (const userinfo of silent)
      t.equal(await statusOf(gateway, '203.0.113.7:443', userinfo), 200, userinfo)
  t.equal(await statusOf(b, '203.0.113.9:443', 'p-2:x'), 200, 'a job that never said a type is free')

  await t.test('by a rule that only reports, too: told once, by the lane of its pin', async (t) => {
    await a.publish({ upstreams, restrictions: [{ ...bankOnly, report: true }] })
    await b.gateway.beat()
    t.equal(await statusOf(b, '203.0.113.9:443', 'p-1:x'), 200)
    t.equal(await statusOf(b, '203.0.113.7:443', 'p-1:x'), 200)
    t.same(b.facts.of('target_reported'), [
      {
        job: { id: 'p-1', type: 'payment', institution: 'bank-a' },
        target: { host: '203.0.113.9', port: 443 },
        restriction: 'bank-only',
      },
    ])
  })
})

t.test('rules come, change and go by the admin API while jobs run', async (t) => {
  const fleet = await startFleet(t)
  const control = await startRole(t, fleet, 'control')
  const gateways = [await startRole(t, fleet, 'gateway'), await startRole(t, fleet, 'gateway')]
  const { port } = fleet.target
  const bank = `localhost:${port}`
  const elsewhere = `127.0.0.1:${port}`
  const ask = async (gateway: (typeof gateways)[number], target: string, userinfo: string) =>
    statusOf({ gatewayPort: gateway.gatewayPort! }, target, userinfo)
  for (const [index, gateway] of gateways.entries())
    for (const target of [bank, elsewhere])
      t.equal(await ask(gateway, target, `job=before-${index},${payment}`), 200, `${target} without a rule`)

  const rule = { id: 'bank-only', kind: 'targets', type: 'payment', institution: 'bank-a' }
  const change = async (method: 'POST' | 'PUT' | 'DELETE', said?: object) => {
    const path = method === 'POST' ? '/v1/restrictions' : '/v1/restrictions/bank-only'
    const { status, body } = await adminSend(control, method, path, said && { body: { ...rule, ...said } })
    t.ok(status === 200 || status === 201, `${method} is ${status}`)
    return body
  }
  /** How long until both gateways answer a job with this status. */
  const holds = async (status: number, what: string) => {
    const askedAt = performance.now()
    for (const [index, gateway] of gateways.entries())
      await until(
        what,
        async () => (await ask(gateway, elsewhere, `job=before-${index},${payment}`)) === status,
      )
    const ms = Math.round(performance.now() - askedAt)
    t.ok(ms < 2000, `${what} at both gateways after ${ms} ms`)
  }

  const added = await change('POST', { targets: ['LOCALHOST'] })
  t.match(added, { ...rule, upstreams: { ids: [] }, targets: ['localhost'], report: false })
  await holds(403, 'the rule holds jobs that run')
  const accepted = fleet.target.connections().accepted
  for (const [index, gateway] of gateways.entries()) {
    t.equal(await ask(gateway, elsewhere, `job=new-${index},${payment}`), 403)
    t.equal((await adminSend(control, 'GET', `/v1/jobs/new-${index}`)).status, 404, 'and no pin was made')
    t.equal(await ask(gateway, elsewhere, `before-${1 - index}:x`), 403, 'a job of the other gateway, silent')
  }
  t.equal(fleet.target.connections().accepted, accepted, 'nothing arrived')
  for (const [index, gateway] of gateways.entries()) {
    t.equal(await ask(gateway, bank, `job=new-${index},${payment}`), 200)
    t.equal(await ask(gateway, elsewhere, `job=other-${index},type=statement:x`), 200)
  }
  const explained = await adminSend(control, 'GET', '/v1/explain?type=payment&institution=bank-a')
  t.match(explained.body, {
    eligible: { length: 3 },
    refused: [],
    targets: { allowed: ['localhost'], reported: null, restrictions: ['bank-only'] },
  })

  await change('PUT', { targets: ['localhost'], report: true })
  await holds(200, 'a rule that only reports lets through')
  for (const gateway of gateways)
    await until('and says so', () =>
      /"restriction":"bank-only".*only reports would have refused/.test(gateway.output()),
    )
  await change('PUT', { targets: ['localhost', '127.0.0.0/8'], report: false })
  await change('DELETE')
  const { items } = (await adminSend(control, 'GET', '/v1/ledger?about=bank-only')).body
  t.match(items.at(-1).steps, [
    { kind: 'restriction_added', restriction: { targets: ['localhost'], report: false } },
  ])
  t.equal(items.length, 4)
  t.match((await adminSend(control, 'GET', '/v1/ledger/verify')).body, { ok: true })
})
