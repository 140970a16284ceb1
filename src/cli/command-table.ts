// All commands, in the order in which help shows them. What the program itself does is loaded only when it is asked
// for, so that the others answer at once.

import { command } from './command.ts'
import { explainCommands } from './commands/explain.ts'
import { fleetCommands } from './commands/fleet.ts'
import { jobCommands } from './commands/jobs.ts'
import { ledgerCommands } from './commands/ledger.ts'
import { restrictionCommands } from './commands/restrictions.ts'
import { syncCommands } from './commands/sync.ts'
import { tokenCommands } from './commands/token.ts'
import { upstreamLifeCommands } from './commands/upstream-life.ts'
import { upstreamCommands } from './commands/upstreams.ts'

const start = command({
  name: 'start',
  does: 'run the gateway, the control plane, or both (ROLE)',
  args: {},
  flags: {},
  examples: ['lanekeeper start', 'ROLE=control lanekeeper start'],
  run: async () => (await import('./commands/start.ts')).start(),
})

const checkConfig = command({
  name: 'check-config',
  does: 'check all settings, report every problem, and exit',
  args: {},
  flags: {},
  examples: ['LANEKEEPER_CONFIG=lanekeeper.yaml lanekeeper check-config'],
  run: async () => (await import('./commands/check-config.ts')).checkConfig(),
})

const migrate = command({
  name: 'migrate',
  does: 'bring the tables of PostgreSQL up to date (DATABASE_URL); start does so too',
  about: [
    'Safe to repeat, and from several machines at once. Without DATABASE_URL: those of the embedded database.',
  ],
  args: {},
  flags: {},
  examples: ['DATABASE_URL=postgres://lanekeeper@db:5432/lanekeeper lanekeeper migrate'],
  run: async () => (await import('./commands/migrate.ts')).migrate(),
})

export const commands = [
  start,
  checkConfig,
  migrate,
  ...upstreamCommands,
  ...upstreamLifeCommands,
  ...fleetCommands,
  ...syncCommands,
  ...restrictionCommands,
  ...explainCommands,
  ...jobCommands,
  ...tokenCommands,
  ...ledgerCommands,
]
