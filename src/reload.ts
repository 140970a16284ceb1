// Another configuration for a program that runs (SIGHUP): all of it that needs no restart, or, where anything is wrong
// with it, nothing. What stands is not touched: an open tunnel does not see it.

import { isDeepStrictEqual } from 'node:util'
import { ConfigError, contradictionsIn, liveKeys, settingKeys, type Config } from './config.ts'
import type { Events } from './events.ts'

export type Live = ReturnType<typeof makeLive>

/** The configuration as it is now. */
export function makeLive(first: Config) {
  let config = first
  const updates: (() => void)[] = []

  return {
    get config(): Config {
      return config
    },

    /**
     * A few settings for one part. They may change between two turns of the event loop, so the part reads them where it
     * uses them and copies none.
     */
    table<T extends object>(pick: (config: Config) => T): T {
      const table = pick(config)
      updates.push(() => Object.assign(table, pick(config)))
      return table
    },

    /** All tables at once. */
    take(next: Config): void {
      config = next
      for (const update of updates) update()
    },
  }
}

type Plan = {
  /** The running one, with what is taken of the next one. */
  readonly config: Config
  /** Settings that are others now. */
  readonly changed: readonly (keyof Config)[]
  /** Settings that differ, and stay as they are until a restart. */
  readonly waiting: readonly (keyof Config)[]
}

/** @throws ConfigError where what is taken contradicts what has to stay */
export function planReload(running: Config, next: Config): Plan {
  const differing = settingKeys.filter((key) => !isDeepStrictEqual(running[key], next[key]))
  const changed = differing.filter((key) => liveKeys.includes(key))
  const waiting = differing.filter((key) => !liveKeys.includes(key))
  const taken = Object.fromEntries(changed.map((key) => [key, next[key]]))
  const config = Object.freeze({ ...running, ...taken })
  const problems = contradictionsIn(config)
  if (problems.length > 0)
    throw new ConfigError(
      problems.map((problem) => `${problem} (without a restart; ${waiting.join(', ')} stays)`),
    )
  return { config, changed, waiting }
}

type Parts = {
  readonly live: Live
  /** @throws Error where this process could not keep what the configuration promises */
  readonly check: (config: Config) => void
  /** Called once the tables hold other values. */
  readonly taken: () => void
  readonly events: Events
}

/** The function never throws: what is wrong is published, and the old configuration stays whole. */
export function makeReload({ live, check, taken, events }: Parts) {
  return function reload(read: () => Config): void {
    try {
      const { config, changed, waiting } = planReload(live.config, read())
      check(config)
      live.take(config)
      events.emit('config_reloaded', { settings: changed })
      if (waiting.length > 0) events.emit('config_held_back', { settings: waiting })
    } catch (error) {
      return void events.emit('config_reload_failed', { problems: problemsOf(error) })
    }
    taken()
  }
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems
  return [error instanceof Error ? error.message : String(error)]
}
