// lanekeeper migrate: brings the tables up to date, for whoever wants that done before the program starts.

import { loadConfig } from '../../config.ts'
import { migrateDatabase } from '../../main.ts'

/** @throws ConfigError, ControlError database_unavailable */
export async function migrate(): Promise<number> {
  await migrateDatabase(loadConfig())
  process.stdout.write('The database is up to date.\n')
  return 0
}
