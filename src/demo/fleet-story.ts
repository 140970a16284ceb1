// The story itself, step by step: what is asked of the admin API or done to the cloud, and what is seen then.

import { setTimeout as delay } from 'node:timers/promises'
import { makeAdminApi, type AdminApi, type SyncReport, type Upstream } from './admin-api.ts'
import { checkFleet, count, hasFailed } from './fleet-checks.ts'
import { wantedAtFirst, type Stage } from './fleet-stage.ts'
import { makeFleetWatch, type FleetWatch } from './fleet-watch.ts'
import { ledgerLine, number, restInWords } from './fleet-words.ts'
import { describeChecks, inColumns } from './report.ts'
import { loadInWords, startSteadyLoad, type Job, type SteadyLoad } from './steady-load.ts'
import type { Story } from './story.ts'
import { until } from './until.ts'

type Scene = {
  readonly stage: Stage
  readonly story: Story
  readonly api: AdminApi
  readonly fleet: FleetWatch
  readonly signal: AbortSignal
}
type LoadedScene = Scene & { readonly load: SteadyLoad }

/** So long jobs run on as nothing happens. */
const quietMs = 4000
const afterwardsMs = 2500
const ledgerRows = 10

/** @returns the exit code. @throws Error where a step does not come to its end; the signal's reason */
export async function tellFleetStory(stage: Stage, story: Story, signal: AbortSignal): Promise<number> {
  const api = makeAdminApi(stage.adminPort, signal)
  const fleet = makeFleetWatch({ api, story })
  const scene = { stage, story, api, fleet, signal }
  await makeFour(scene)
  const load = await runJobs(scene)
  const loaded = { ...scene, load }
  const drained = await drainAndDelete(loaded)
  const killed = await killOne(loaded)
  const fresh = await watchSync(loaded, killed)
  await showLedger(scene)
  await giveItJobs(loaded, fresh)
  await load.finish()
  return sumUp(loaded, { drained, killed: killed.id })
}

async function makeFour({ story, api, fleet, signal }: Scene): Promise<void> {
  story.print(`\n1. ${wantedAtFirst} machines are wanted (gce.upstreams), so Lanekeeper has them made`)
  const allRun = async () => ((await fleet.look()).filter(isRunning).length === wantedAtFirst ? true : null)
  await until('all of them run', allRun, { signal })
  const arePublished = async () => ((await api.eligible()) === wantedAtFirst ? true : null)
  await until('the gateway may use all of them', arePublished, { signal })
}

async function runJobs({ stage, story, fleet, signal }: Scene): Promise<SteadyLoad> {
  story.print('\n2. Jobs, all the time from here on:')
  story.print(`   ${loadInWords}`)
  const { gatewayPort, target } = stage
  const load = startSteadyLoad({ gatewayPort, target, signal })
  await delay(quietMs, undefined, { signal })
  const shares = fleet.seen().map(({ id }) => load.jobs.filter(({ upstreams }) => upstreams.has(id)).length)
  story.say(`${load.jobs.length} jobs so far, over the four: ${shares.join(', ')}; ${failuresOf(load.jobs)}`)
  return load
}

/** @returns its tombstone */
async function drainAndDelete({ story, api, fleet, load, signal }: LoadedScene): Promise<Upstream> {
  const { id } = busiest(fleet, load)
  story.print('\n3. One is drained under load, then deleted')
  story.print(`   lanekeeper upstreams drain ${id} --wait`)
  await api.drain(id, 'for the demo')
  const isDrained = async () => {
    const upstream = await api.upstream(id)
    if (upstream.drain?.drainedAt != null) return true
    story.live(`${id}  draining: ${restInWords(upstream)}`)
    return null
  }
  await until(`${id} is drained`, isDrained, { signal })
  const jobs = load.jobs.filter(({ upstreams }) => upstreams.has(id))
  story.say(`${id}  drained: its ${jobs.length} jobs are over; ${failuresOf(load.jobs)}`)
  story.print(`   lanekeeper upstreams delete ${id} --wait`)
  await api.remove(id, 'for the demo')
  const isGone = async () => ((await fleet.look()).some((one) => one.id === id) ? null : true)
  await until(`${id} is deleted`, isGone, { signal })
  story.say(`${await api.wanted()} are wanted from now on: a deletion takes one off`)
  return api.upstream(id)
}

async function killOne({ stage, story, fleet, load, signal }: LoadedScene): Promise<Upstream> {
  const victim = busiest(fleet, load)
  const { id } = victim
  story.print("\n4. One is killed behind Lanekeeper's back: the process, and the machine in the cloud")
  const pinned = load.openOn(id)
  await stage.cloud.remove(id)
  story.say(`${id}  is no more; ${number(pinned.length, 'job')} pinned to it`)
  const isNoticed = () => (count(load.jobs, 'upstream_failed') > 0 ? true : null)
  await until('its jobs notice', isNoticed, { signal })
  story.say('its jobs get 502 upstream_failed; new ones go elsewhere')
  return victim
}

/** @returns what was made in its place */
async function watchSync(
  { story, api, fleet, load, signal }: LoadedScene,
  { id: killed }: Upstream,
): Promise<Upstream> {
  const before = new Set(fleet.seen().map(({ id }) => id))
  story.print('\n5. Sync puts the records right, and the wanted size has another one made')
  let passed = ''
  const isTakenOut = async () => {
    const report = await api.sync()
    if (report.pass !== passed) tellPass(story, report, killed)
    passed = report.pass
    await fleet.look()
    return report.corrected.some(({ id }) => id === killed) ? true : null
  }
  await until(`sync has taken ${killed} out`, isTakenOut, { signal })
  const isHeard = () => (load.openOn(killed).length === 0 ? true : null)
  await until('its jobs have heard', isHeard, { signal })
  story.say(`its jobs got 502 pin_lost, and are over; ${failuresOf(load.jobs)}`)
  const inItsPlace = async () =>
    (await fleet.look()).find((one) => isRunning(one) && !before.has(one.id)) ?? null
  return until('another runs in its place', inItsPlace, { signal })
}

function tellPass(story: Story, report: SyncReport, killed: string): void {
  const { outcome, listed, recorded, corrected, left } = report
  const note = left.find(({ id }) => id === killed)
  if (note) story.say(`sync waits: ${note.detail}`)
  const correction = corrected.find(({ id }) => id === killed)
  if (!correction) return
  const found = `${number(listed, 'machine')} listed, ${number(recorded, 'upstream')} recorded`
  story.say(`sync takes it out: ${correction.detail}`)
  story.say(`its report: ${outcome}; ${found}, ${corrected.length} corrected, ${left.length} left alone`)
}

async function showLedger({ story, api }: Scene): Promise<void> {
  story.print(`\n   The last ${ledgerRows} rows of the ledger (lanekeeper ledger list), the newest first:`)
  for (const entry of await api.ledger(ledgerRows)) story.print(ledgerLine(entry))
  story.print('')
}

async function giveItJobs({ load, signal, story }: LoadedScene, { id }: Upstream): Promise<void> {
  await delay(afterwardsMs, undefined, { signal })
  await until(`${id} has jobs`, () => (load.openOn(id).length > 0 ? true : null), { signal })
  const jobs = load.jobs.filter(({ upstreams }) => upstreams.has(id)).length
  story.say(`${id}  has had ${jobs} jobs by now. That is all; the last jobs end.`)
}

async function sumUp(
  { stage, story, api, fleet, load }: LoadedScene,
  { drained, killed }: { readonly drained: Upstream; readonly killed: string },
): Promise<number> {
  const upstreams = fleet.seen()
  const fates = new Map([
    [drained.id, 'drained, deleted'],
    [killed, 'killed'],
  ])
  const rows = upstreams.map(({ id, zone, egressIp, state }) => {
    const jobs = load.jobs.filter((job) => job.upstreams.has(id))
    const failed = jobs.flatMap(({ outcomes }) => outcomes).filter((outcome) => outcome !== 'ok').length
    const numbers = [jobs.length, count(jobs, 'ok'), failed].map(String)
    return [id, String(zone), String(egressIp), ...numbers, fates.get(id) ?? state]
  })
  const head = ['upstream', 'zone', 'address', 'jobs', 'requests', 'failed', 'in the end']
  story.print(`\n6. What the jobs saw\n\n${inColumns(head, rows)}\n`)
  const checks = checkFleet({
    jobs: load.jobs,
    upstreams,
    drained,
    killed,
    listed: await api.upstreams(),
    wanted: await api.wanted(),
    machines: stage.cloud.instances(),
    ledger: await api.verifyLedger(),
  })
  story.print(`${describeChecks(checks)}\n`)
  return checks.every(({ holds }) => holds) ? 0 : 1
}

function isRunning({ state }: Upstream): boolean {
  return state === 'running'
}

/** Of those that run, the one that most jobs are pinned to now. */
function busiest(fleet: FleetWatch, load: SteadyLoad): Upstream {
  const jobsOn = ({ id }: Upstream) => load.openOn(id).length
  const [first] = fleet
    .seen()
    .filter(isRunning)
    .toSorted((a, b) => jobsOn(b) - jobsOn(a))
  if (!first) throw new Error('no upstream runs')
  return first
}

function failuresOf(jobs: readonly Job[]): string {
  const failed = jobs.filter(hasFailed).length
  return failed === 0 ? 'no request has failed' : `requests of ${failed} jobs have failed`
}
