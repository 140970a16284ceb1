// The main job on real servers: two gateways and a control on one Redis, three Tinyproxies with an address of
// their own each, a target that says where it was called from.

import t from 'tap'
import { addresses, requestThrough, startFleet, startRole as start, type Fleet } from '../fixtures/fleet.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import { connectThrough, getThrough } from '../fixtures/raw-client.ts'
import { metric } from '../fixtures/readings.ts'
import { until } from '../fixtures/until.ts'

const jobCount = 200
const requestsPerJob = 5
/** Over three upstreams of 90 tunnels each, with room for reports of the other gateway that are a second old. */
const jobsAtOnce = 60
const lanes = ['type=payment,institution=bank-a', 'type=statement,institution=bank-b']

type JobRecord = { readonly lane: string; readonly seen: Set<string>; served: number; refused: number }

/** One request; false where the gateway refused it as it may while dials fail. */
async function oneRequest(
  gateway: Lanekeeper,
  fleet: Fleet,
  userinfo: string,
  record: JobRecord,
): Promise<boolean> {
  const { status, address } = await requestThrough(gateway, fleet, userinfo)
  if (status === 502) {
    record.refused += 1
    return false
  }
  if (address === null) throw new Error(`answered ${status}`)
  record.seen.add(address)
  record.served += 1
  return true
}

type Run = {
  /** The requests of a job all at once, over all gateways; else one after the other, each over any. */
  readonly sideBySide?: boolean
  /** Called once, when half of all requests are done. */
  readonly halfway?: () => Promise<void>
}

/** Many jobs side by side; a refused request is made again. */
async function runJobs(
  fleet: Fleet,
  gateways: readonly Lanekeeper[],
  { sideBySide = false, halfway = async () => {} }: Run = {},
): Promise<JobRecord[]> {
  const records = Array.from({ length: jobCount }, (_, index) => {
    return { lane: lanes[index % lanes.length]!, seen: new Set<string>(), served: 0, refused: 0 }
  })
  let done = 0
  let half: Promise<void> | null = null

  async function serve(index: number, record: JobRecord, pick: () => Lanekeeper): Promise<void> {
    const userinfo = `job=j-${index},${record.lane}:x`
    while (!(await oneRequest(pick(), fleet, userinfo, record))) continue
    done += 1
    if (done === (jobCount * requestsPerJob) / 2) half = halfway()
  }

  async function runJob(index: number, record: JobRecord): Promise<void> {
    const turns = Array.from({ length: requestsPerJob }, (_, turn) => turn)
    const any = () => gateways[Math.floor(Math.random() * gateways.length)]!
    if (sideBySide) {
      await Promise.all(turns.map((turn) => serve(index, record, () => gateways[turn % gateways.length]!)))
    } else for (const _ of turns) await serve(index, record, any)
  }

  const waiting = records.entries()
  const work = async () => {
    // One iterator for all: each job is taken once.
    for (const [index, record] of waiting) await runJob(index, record)
  }
  await Promise.all(Array.from({ length: sideBySide ? jobsAtOnce / requestsPerJob : jobsAtOnce }, work))
  await half
  return records
}

function turns(records: readonly JobRecord[], lane: string): number[] {
  const first = records.filter((record) => record.lane === lane).map(({ seen }) => [...seen][0])
  return addresses.map((address) => first.filter((seen) => seen === address).length)
}

t.test('200 jobs keep one address each, in even turns, while a gateway is restarted', async (t) => {
  const fleet = await startFleet(t)
  await start(t, fleet, 'control')
  const gateways = [await start(t, fleet, 'gateway'), await start(t, fleet, 'gateway')]

  const halfway = async () => {
    const old = gateways.pop()!
    t.equal(await old.stop(), 0, 'a gateway told to stop exits with 0')
    gateways.push(await start(t, fleet, 'gateway'))
  }
  const records = await runJobs(fleet, gateways, { halfway })

  t.strictSame(
    records.filter(({ seen }) => seen.size !== 1),
    [],
    'every job was seen from exactly one address',
  )
  t.ok(
    records.every(({ served, refused }) => served === requestsPerJob && refused === 0),
    'no request failed',
  )
  for (const lane of lanes) {
    const counts = turns(records, lane)
    t.ok(Math.max(...counts) - Math.min(...counts) <= 1, `turns of ${lane} are even: ${counts.join(' ')}`)
  }
})

for (const [name, failing, sideBySide] of [
  ['one dial in twenty fails', 0.05, false],
  // Pins are fresh in both gateways at once then, and many of them have to move.
  ['one dial in three fails and the first requests of a job come side by side', 0.33, true],
] as const) {
  t.test(`no job gets two addresses while ${name}`, async (t) => {
    const fleet = await startFleet(t, { failing })
    await start(t, fleet, 'control')
    const gateways = [await start(t, fleet, 'gateway'), await start(t, fleet, 'gateway')]

    const records = await runJobs(fleet, gateways, { sideBySide })

    t.strictSame(
      records.filter(({ seen }) => seen.size !== 1),
      [],
      'every job was seen from exactly one address',
    )
    t.ok(
      records.every(({ served }) => served === requestsPerJob),
      'every request was served in the end',
    )
    const moved = await Promise.all(gateways.map((gateway) => metric(gateway, 'lanekeeper_pins_moved_total')))
    t.ok(moved[0]! + moved[1]! > 0, `pins moved: ${moved.join(' and ')}`)
  })
}

t.test(
  'a job released at one gateway is a new job at the other, however well that one knew it',
  async (t) => {
    const fleet = await startFleet(t)
    await start(t, fleet, 'control')
    const [first, second] = [await start(t, fleet, 'gateway'), await start(t, fleet, 'gateway')]
    const userinfo = 'job=again,type=payment:x'
    const target = `127.0.0.1:${fleet.target.port}`
    const upstreamBy = async ({ gatewayPort }: Lanekeeper) => {
      const { headers, socket } = await connectThrough({ gatewayPort: gatewayPort!, target, userinfo })
      socket.destroy()
      return headers['x-upstream-id']
    }
    const old = await upstreamBy(first)
    t.equal(await upstreamBy(second), old)
    const released = await getThrough({
      gatewayPort: first.gatewayPort!,
      url: '/v1/job',
      method: 'DELETE',
      userinfo,
    })
    released.socket.destroy()
    await until(
      'the other has heard of it',
      async () => (await metric(second, 'lanekeeper_known_pins')) === 0,
    )
    const anew = await upstreamBy(second)
    t.not(anew, old, 'it takes a turn of the ring like any other')
    t.equal(await upstreamBy(first), anew, 'and has one upstream over both gateways')
  },
)
