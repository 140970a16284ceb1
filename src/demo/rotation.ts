// The main job, end to end, on this machine alone. Starts Lanekeeper with four upstreams and two rules, and a target that
// says where it was called from; runs 24 jobs of 5 requests; shows and checks it.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEchoTarget } from './echo-target.ts'
import { fetchAddress } from './job-client.ts'
import { startLanekeeper, type Lanekeeper } from './processes.ts'
import { check, describeChecks, table, type JobResult } from './report.ts'

const jobsPerLane = 12
const requestsPerJob = 5

const lanes = [
  { name: 'payment:bank-a', type: 'payment', institution: 'bank-a' },
  { name: 'statement:bank-b', type: 'statement', institution: 'bank-b' },
]

/** What the two rules below leave to each lane. */
const allowed = { 'payment:bank-a': ['local-1', 'local-2'], 'statement:bank-b': ['local-4'] }

/** JSON is YAML. */
const settings = {
  local: { labels: [{ pool: 'payments' }, { pool: 'payments' }, { pool: 'trial' }, { pool: 'statements' }] },
  restrictions: [
    { id: 'payments-only', kind: 'exclusive', type: 'payment', upstreams: { labels: { pool: 'payments' } } },
    {
      id: 'no-trial-for-bank-b',
      kind: 'deny',
      institution: 'bank-b',
      upstreams: { labels: { pool: 'trial' } },
    },
  ],
}

/** @param redis  its URL; null: one process does everything. @returns the exit code */
export async function demonstrateRotation(redis: string | null): Promise<number> {
  const byAddress = platform() === 'linux'
  if (!byAddress)
    print('This system has no 127.0.0.x source addresses: upstreams are told apart by name instead.')
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-demo-'))
  const target = await startEchoTarget()
  const running: Lanekeeper[] = []
  try {
    await startAll(running, folder, { redis, byAddress })
    const ports = running.flatMap(({ gatewayPort }) => (gatewayPort === null ? [] : [gatewayPort]))
    print(
      `${2 * jobsPerLane} jobs of ${requestsPerJob} requests each, over ${ports.length === 1 ? 'one gateway' : `${ports.length} gateways`} and four upstreams.\n`,
    )
    const results = await runJobs(ports, target.authority)
    const checks = check(results, allowed, byAddress)
    print(`${table(results)}\n\n${describeChecks(checks)}`)
    return checks.every(({ holds }) => holds) ? 0 : 1
  } finally {
    target.close()
    await Promise.all(running.map(({ stop }) => stop()))
    await rm(folder, { recursive: true, force: true })
  }
}

/** Pushes each process as soon as it runs, so that all of them are stopped whatever fails. */
async function startAll(
  running: Lanekeeper[],
  folder: string,
  { redis, byAddress }: { redis: string | null; byAddress: boolean },
): Promise<void> {
  const file = join(folder, 'demo.yaml')
  await writeFile(
    file,
    JSON.stringify({ ...settings, local: { ...settings.local, sourceAddresses: byAddress } }),
  )
  const common = {
    LANEKEEPER_CONFIG: file,
    DATA_DIR: join(folder, 'data'),
    LOCAL_UPSTREAMS: '4',
    TARGET_PORTS: '*',
    ALLOW_PRIVATE_TARGETS: 'true',
    LOG_LEVEL: 'warn',
    ...(redis === null ? {} : { REDIS_URL: redis, FLEET: 'demo' }),
  }
  for (const role of redis === null ? ['all'] : ['control', 'gateway', 'gateway']) {
    running.push(await startLanekeeper({ ...common, ROLE: role }))
  }
}

/** All jobs at once; the requests of one job one after the other, each over any gateway. */
async function runJobs(ports: readonly number[], target: string): Promise<JobResult[]> {
  // New ids each time: a pin of an earlier demo may still stand in Redis.
  const run = randomBytes(2).toString('hex')
  const jobs = Array.from({ length: jobsPerLane }, (_, index) =>
    lanes.map((lane) => ({ lane, job: `${lane.type}-${run}-${index + 1}` })),
  ).flat()
  const results = await Promise.all(jobs.map(({ lane, job }) => runJob(job, lane, ports, target)))
  return results.toSorted(
    (a, b) => a.lane.localeCompare(b.lane) || a.job.localeCompare(b.job, 'en', { numeric: true }),
  )
}

async function runJob(
  job: string,
  lane: (typeof lanes)[number],
  ports: readonly number[],
  target: string,
): Promise<JobResult> {
  const user = `job=${job},type=${lane.type},institution=${lane.institution}`
  const upstreams = new Set<string>()
  const addresses = new Set<string>()
  for (let request = 0; request < requestsPerJob; request++) {
    const gatewayPort = ports[Math.floor(Math.random() * ports.length)]!
    const seen = await fetchAddress({ gatewayPort, user, target })
    upstreams.add(nameOf(seen.upstream))
    addresses.add(seen.address)
  }
  return {
    job,
    lane: lane.name,
    requests: requestsPerJob,
    upstreams: [...upstreams],
    addresses: [...addresses],
  }
}

/** `local-2-k3f9...` is one life of `local-2`. */
function nameOf(upstreamId: string): string {
  return upstreamId.split('-').slice(0, 2).join('-')
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
