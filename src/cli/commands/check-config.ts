// lanekeeper check-config: all problems at once, and no start.

import { loadConfig } from '../../config.ts'

/** @throws ConfigError */
export async function checkConfig(): Promise<number> {
  loadConfig()
  process.stdout.write('The configuration is sound.\n')
  return 0
}
