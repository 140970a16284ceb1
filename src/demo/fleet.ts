// npm run demo -- --fleet: the whole life of a fleet under load. Four machines are made, one is drained and deleted, one
// dies behind Lanekeeper's back and is replaced, while jobs run all the time; what they saw is checked in the end.

import { constants } from 'node:os'
import { whyNoCloud } from './cloud.ts'
import { openStage, type Stage } from './fleet-stage.ts'
import { tellFleetStory } from './fleet-story.ts'
import { makeStory } from './story.ts'

const lastWarnings = 2000

/** @returns the exit code: 0 where all was as it should be */
export async function demonstrateFleet(): Promise<number> {
  const missing = whyNoCloud()
  if (missing !== null) {
    process.stderr.write(`${missing}\n`)
    return 1
  }
  const ending = endOnSignals()
  const story = makeStory(process.stdout, () => performance.now())
  const closers: (() => unknown)[] = []
  let stage: Stage | null = null
  try {
    story.print(
      'Lanekeeper, a Compute Engine on this machine (real Tinyproxies, an address each), and its jobs.',
    )
    stage = await openStage(closers, ending.signal)
    story.say('Lanekeeper is ready, and has no upstream yet')
    return await tellFleetStory(stage, story, ending.signal)
  } catch (error) {
    const exitCode = ending.exitCode()
    if (exitCode === null) {
      const warnings = stage?.warnings().slice(-lastWarnings) ?? ''
      if (warnings !== '') process.stderr.write(`\nLanekeeper warned of this last:\n${warnings}\n`)
      throw error
    }
    story.print('\nInterrupted.')
    return exitCode
  } finally {
    story.print('Stopping and removing all of it.')
    await closeAll(closers)
  }
}

/** The last opened first; each, whatever becomes of the others. @throws what the first of them threw */
async function closeAll(closers: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = []
  for (const close of closers.toReversed()) {
    try {
      await close()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

/** A further signal changes nothing: what was started is being removed. */
function endOnSignals() {
  const ending = new AbortController()
  let exitCode: number | null = null
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      // As a shell has it.
      exitCode ??= 128 + constants.signals[name]
      ending.abort()
    })
  return { signal: ending.signal, exitCode: () => exitCode }
}
