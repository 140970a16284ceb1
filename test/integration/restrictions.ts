// Who may use what, changed by the admin API while jobs run: two gateways and a control on real Redis, PostgreSQL and
// Tinyproxies.

import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { adminSend } from '../fixtures/admin-client.ts'
import { requestThrough, startFleet, startRole, type Served } from '../fixtures/fleet.ts'
import { metric } from '../fixtures/readings.ts'
import { until } from '../fixtures/until.ts'

const lanes = { payment: 'type=payment,institution=bank-a', statement: 'type=statement,institution=bank-b' }
type LaneName = keyof typeof lanes
const laneNames = Object.keys(lanes) as LaneName[]
const settledJobs = 40
/** New jobs of each lane at each gateway, once the rule is known there. */
const jobsAfterwards = 15

type Seen = Served & { readonly lane: LaneName; readonly gateway: number; readonly begunAt: number }

t.test('an exclusive rule under load: new jobs follow it at both gateways, pinned ones stay', async (t) => {
  const fleet = await startFleet(t)
  const control = await startRole(t, fleet, 'control')
  const gateways = [await startRole(t, fleet, 'gateway'), await startRole(t, fleet, 'gateway')]
  const [reserved = ''] = fleet.upstreamIds

  const settled = await Promise.all(
    Array.from({ length: settledJobs }, async (_, index) => {
      const userinfo = `job=settled-${index},${lanes[laneNames[index % 2]!]}:x`
      return { userinfo, ...(await requestThrough(gateways[index % 2]!, fleet, userinfo)) }
    }),
  )
  t.ok(settled.every(({ status }) => status === 200))

  const seen: Seen[] = []
  const load = { running: true }
  const work = async (gateway: number, lane: LaneName) => {
    for (let count = 0; load.running; count++) {
      const begunAt = performance.now()
      const userinfo = `job=new-${gateway}-${lane}-${count},${lanes[lane]}:x`
      seen.push({ ...(await requestThrough(gateways[gateway]!, fleet, userinfo)), lane, gateway, begunAt })
      await delay(5)
    }
  }
  const working = [0, 1].flatMap((gateway) => laneNames.map((lane) => work(gateway, lane)))
  await until('the load runs', () => seen.length > 60)

  const askedAt = performance.now()
  const added = await adminSend(control, 'POST', '/v1/restrictions?reason=the+bank+asked', {
    body: { kind: 'exclusive', type: 'payment', upstreams: { ids: [reserved] } },
  })
  t.equal(added.status, 201)
  for (const [index, gateway] of gateways.entries()) {
    await until(`gateway ${index} knows it`, async () => {
      return (await metric(gateway, 'lanekeeper_fleet_version')) >= added.body.version
    })
  }
  const knownAt = performance.now()
  t.comment(`known at both gateways after ${Math.round(knownAt - askedAt)} ms`)
  const afterwards = () => seen.filter(({ begunAt }) => begunAt >= knownAt)
  await until('enough jobs have come since', () =>
    [0, 1].every((gateway) =>
      laneNames.every(
        (lane) =>
          afterwards().filter((job) => job.gateway === gateway && job.lane === lane).length >= jobsAfterwards,
      ),
    ),
  )
  load.running = false
  await Promise.all(working)

  await t.test('what happened to new jobs', async (t) => {
    t.same([...new Set(seen.map(({ status }) => status))], [200], 'no request failed')
    const upstreamsOf = (jobs: readonly Seen[], lane: LaneName) =>
      [...new Set(jobs.filter((job) => job.lane === lane).map(({ upstream }) => upstream))].sort()
    const before = seen.filter(({ begunAt }) => begunAt < askedAt)
    t.same(upstreamsOf(before, 'payment'), [...fleet.upstreamIds].sort(), 'before: all of them')
    t.same(upstreamsOf(afterwards(), 'payment'), [reserved], 'payments use theirs only')
    const others = fleet.upstreamIds.filter((id) => id !== reserved).sort()
    t.same(upstreamsOf(afterwards(), 'statement'), others, 'and nobody else does')
  })

  await t.test('explain says what happened', async (t) => {
    const explain = async (type: string, institution: string) =>
      (await adminSend(control, 'GET', `/v1/explain?type=${type}&institution=${institution}`)).body
    const payment = await explain('payment', 'bank-a')
    t.same(payment.eligible, [reserved])
    t.same(
      payment.refused.map(({ reason, restriction }: { reason: string; restriction: string }) => [
        reason,
        restriction,
      ]),
      Array.from({ length: 2 }, () => ['lane_kept_elsewhere', added.body.id]),
    )
    const statement = await explain('statement', 'bank-b')
    t.same([...statement.eligible].sort(), fleet.upstreamIds.filter((id) => id !== reserved).sort())
    t.same(statement.refused, [{ upstream: reserved, reason: 'kept_for_others', restriction: added.body.id }])
  })

  await t.test('no pinned job moved, at either gateway', async (t) => {
    for (const { userinfo, address } of settled)
      for (const gateway of gateways) {
        t.match(await requestThrough(gateway, fleet, userinfo), { status: 200, address }, userinfo)
      }
  })

  await t.test(
    'with --evict those that fit no longer are released, and pinned anew where they may be',
    async (t) => {
      const asked = await adminSend(control, 'PUT', `/v1/restrictions/${added.body.id}?evict=true`, {
        body: { kind: 'exclusive', type: 'payment', upstreams: { ids: [reserved] } },
      })
      t.match(asked, { status: 200, body: { evicting: true } })
      const evicted = await until('the ledger says that it is done', async () => {
        const { items } = (await adminSend(control, 'GET', '/v1/ledger?limit=5')).body
        const steps = items.flatMap(
          ({ steps }: { steps: { kind: string; asked?: number; jobs?: number }[] }) => steps,
        )
        return steps.find((step: { kind: string; asked?: number }) => {
          return step.kind === 'jobs_evicted' && step.asked === asked.body.version
        })
      })
      t.ok(evicted.jobs > 0, `${evicted.jobs} jobs`)
      for (const [index, { userinfo }] of settled.entries()) {
        const { upstream } = await requestThrough(gateways[index % 2]!, fleet, userinfo)
        t.equal(upstream === reserved, userinfo.includes('payment'), userinfo)
      }
    },
  )

  await t.test('without PostgreSQL traffic goes on, and the admin API says what still works', async (t) => {
    await fleet.postgres.halt()
    for (const gateway of gateways) {
      t.match(
        await requestThrough(gateway, fleet, `job=settled-0,${lanes.payment}:x`),
        { status: 200 },
        'a known job',
      )
      t.match(
        await requestThrough(gateway, fleet, `job=late-${gateway.pid},${lanes.payment}:x`),
        { status: 200, upstream: reserved },
        'a new job',
      )
    }
    for (const [method, path, body] of [
      ['GET', '/v1/upstreams', undefined],
      ['GET', '/v1/ledger', undefined],
      ['POST', '/v1/restrictions', { kind: 'deny', type: 'x', upstreams: { ids: [reserved] } }],
      ['POST', `/v1/upstreams/${reserved}/quarantine`, undefined],
    ] as const) {
      const answer = await adminSend(control, method, path, { body })
      t.match(
        answer,
        { status: 503, body: { code: 'database_unavailable', detail: /traffic/ } },
        `${method} ${path}`,
      )
      t.ok(answer.headers.has('retry-after'))
    }
    t.match(await adminSend(control, 'GET', '/v1/jobs/settled-0'), { status: 200, body: { id: 'settled-0' } })
    t.match(await adminSend(control, 'GET', '/v1/explain?type=payment'), {
      status: 200,
      body: { eligible: [reserved] },
    })
    t.match(await adminSend(control, 'DELETE', '/v1/jobs/settled-0'), { status: 200 })
    await fleet.postgres.start()
    await until(
      'it is there again',
      async () => (await adminSend(control, 'GET', '/v1/upstreams')).status === 200,
    )
    const removed = await adminSend(control, 'DELETE', `/v1/restrictions/${added.body.id}`)
    t.equal(removed.status, 200)
    for (const gateway of gateways)
      await until(
        'the change arrives',
        async () => (await metric(gateway, 'lanekeeper_fleet_version')) >= removed.body.version,
      )
    t.match(await adminSend(control, 'GET', '/v1/ledger/verify'), { body: { ok: true } })
  })
})
