// What the story of a fleet happens on: a Compute Engine, a target, a page for probes, and Lanekeeper as one process
// that finds them in its configuration. All of it on this machine, and gone afterwards.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startCloud, type Cloud } from './cloud.ts'
import { startEchoTarget, startIpPage } from './echo-target.ts'
import { startLanekeeper } from './processes.ts'

export const wantedAtFirst = 4
/** A probe takes as long as a page somewhere in the world. */
const probeMs = 150

export type Stage = {
  readonly cloud: Cloud
  /** `host:port` */
  readonly target: string
  readonly gatewayPort: number
  readonly adminPort: number
  /** What Lanekeeper has warned of. */
  readonly warnings: () => string
}

type Closer = () => unknown

/**
 * @param closers  gets what ends each part as soon as it runs, so that nothing is left whatever fails: close in reverse
 * @throws Error where a part does not start; the signal's reason
 */
export async function openStage(closers: Closer[], signal: AbortSignal): Promise<Stage> {
  const opened = async <T>(part: T, close: Closer): Promise<T> => {
    closers.push(close)
    signal.throwIfAborted()
    return part
  }
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-demo-'))
  await opened(folder, () => rm(folder, { recursive: true, force: true }))
  const cloud = await startCloud()
  await opened(cloud, () => cloud.close())
  const target = await startEchoTarget()
  await opened(target, () => target.close())
  const page = await startIpPage(probeMs)
  await opened(page, () => page.close())
  const config = join(folder, 'demo.yaml')
  await writeFile(config, JSON.stringify(settingsFor(cloud, page.url)))
  const settings = {
    LANEKEEPER_CONFIG: config,
    DATA_DIR: join(folder, 'data'),
    ROLE: 'all',
    PROVIDER: 'gce',
    FLEET: 'demo',
    TARGET_PORTS: '*',
    ALLOW_PRIVATE_TARGETS: 'true',
    LOG_LEVEL: 'warn',
  }
  const lanekeeper = await startLanekeeper(settings, signal)
  await opened(lanekeeper, () => lanekeeper.stop())
  const { gatewayPort, adminPort } = lanekeeper
  if (gatewayPort === null || adminPort === null) throw new Error('Lanekeeper did not say its ports')
  return {
    cloud,
    target: target.authority,
    gatewayPort,
    adminPort,
    warnings: () => lanekeeper.output().replace(/^[^{].*\n?/gm, ''),
  }
}

/** JSON is YAML. The times are a tenth and less of the usual ones: nobody wants to watch a minute of nothing. */
function settingsFor({ project, zones, template, port, url }: Cloud, pageUrl: string): unknown {
  return {
    gce: { project, zones, template, port, endpoint: url, namePrefix: 'lane', upstreams: wantedAtFirst },
    probes: { everyMs: 1000, timeoutMs: 2000, url: pageUrl },
    sync: { everyMs: 1500, absences: 2, graceMs: 3000 },
    gateway: { stopDeadlineMs: 1000 },
  }
}
