// The Compute Engine that the fleet of the demo lives on: the one of the tests, on this machine.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { platform } from 'node:os'
import type { ComputeEngine } from '../../test/fixtures/compute-engine.ts'

export type Cloud = ComputeEngine

const zones = ['europe-west1-b', 'europe-west1-c']
/** From an order until the machine runs, or is gone; a real one takes half a minute. */
const operationMs = 1200

/** @returns why there can be none here, and what to do; null: there can */
export function whyNoCloud(): string | null {
  if (platform() !== 'linux')
    return '--fleet needs Linux: its machines have addresses of their own in 127.0.0.0/8, which other systems do not give.'
  if (!existsSync(new URL('../../test/fixtures/compute-engine.ts', import.meta.url)))
    return '--fleet needs a checkout of the repository: its Compute Engine is that of the tests (test/fixtures), which is not here.'
  if (spawnSync('tinyproxy', ['-v']).status !== 0)
    return '--fleet runs real Tinyproxies, and there is none on PATH: apt-get install tinyproxy-bin'
  return null
}

/** Loaded only now: who does not ask for it may have no tests. */
export async function startCloud(): Promise<Cloud> {
  const { startComputeEngine } = await import('../../test/fixtures/compute-engine.ts')
  const cloud = await startComputeEngine({ zones })
  cloud.operationsTake(operationMs)
  return cloud
}
